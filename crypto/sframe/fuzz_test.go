package sframe

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

func FuzzParseHeader(f *testing.F) {
	for _, c := range vectors(f).Header {
		f.Add([]byte(c.Encoded))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kid, ctr, size, err := parseHeader(b)
		if err != nil {
			if size != 0 {
				t.Error("a refused header has a size")
			}
			return
		}

		if size > maxHeader || !bytes.Equal(appendHeader(nil, kid, ctr), b[:size]) {
			t.Error("a header of two spellings")
		}
	})
}

// fuzzEnds are the ends of a key that every fuzz worker shares.
func fuzzEnds(t testing.TB) (*Sender, *Receiver) {
	t.Helper()
	key := bytes.Repeat([]byte{9}, 64)
	s, err1 := NewSender(key, 0)
	r, err2 := NewReceiver(key, 0)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return s, r
}

// FuzzOpen: only the frame that was sealed opens, with its own metadata, once.
func FuzzOpen(f *testing.F) {
	s, _ := fuzzEnds(f)
	frame := seal(f, s, "picture")
	f.Add(frame, []byte("meta"))
	f.Add(frame, []byte("mets"))
	f.Add(frame[:17], []byte("meta"))
	f.Add(binary.BigEndian.AppendUint64([]byte{0x1f}, math.MaxUint64), []byte("meta"))
	f.Add([]byte{}, []byte{})

	f.Fuzz(func(t *testing.T, b, metadata []byte) {
		_, r := fuzzEnds(t)
		plain, ctr, err := r.Open(nil, metadata, b)
		if (err == nil) != (bytes.Equal(b, frame) && string(metadata) == "meta") {
			t.Fatalf("opens: %t (%v)", err == nil, err)
		}
		if err != nil && plain != nil || err == nil && (string(plain) != "picture" || ctr != 0) {
			t.Errorf("opens as %q, %d, %v", plain, ctr, err)
		}

		if _, _, err := r.Open(nil, metadata, b); err == nil {
			t.Error("opens twice")
		}
	})
}

// FuzzWindow offers counters in any order, as steps forward and back from the highest: each is accepted once, and none
// that is too old.
func FuzzWindow(f *testing.F) {
	f.Add(uint64(0), []byte{0, 0, 1, 0, 1, 0, 0xff, 0xff})
	f.Add(uint64(5000), []byte{0, 0, 0xfc, 0x00, 0xfb, 0xff, 0x04, 0x00, 0xfb, 0xff})
	f.Add(uint64(math.MaxUint64), []byte{0, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, start uint64, steps []byte) {
		var w window
		seen := make(map[uint64]bool)
		highest, any := start, false
		for ; len(steps) > 1; steps = steps[2:] {
			ctr := highest + uint64(int16(binary.BigEndian.Uint16(steps)))
			if step := int16(binary.BigEndian.Uint16(steps)); step > 0 && ctr < highest || step < 0 && ctr > highest {
				continue // beyond either end of all counters
			}
			old := any && ctr < highest && highest-ctr >= windowSize
			if got := w.has(ctr); got != (seen[ctr] || old) {
				t.Fatalf("counter %d, the highest %d: has %t, seen %t, too old %t", ctr, highest, got, seen[ctr], old)
			}
			if seen[ctr] || old {
				continue
			}

			w.add(ctr)
			seen[ctr], any = true, true
			highest = max(highest, ctr)
			if len(seen) == 1 {
				highest = ctr
			}
		}
	})
}
