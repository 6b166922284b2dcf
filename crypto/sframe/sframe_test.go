package sframe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
)

// hexBytes is written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// rfc is the part of the vectors of RFC 9605, appendix C, that the tests use.
type rfc struct {
	Header []struct {
		KID, CTR uint64
		Encoded  hexBytes
	}
	SFrame []struct {
		Suite    uint16   `json:"cipher_suite"`
		BaseKey  hexBytes `json:"base_key"`
		Key      hexBytes `json:"sframe_key"`
		Salt     hexBytes `json:"sframe_salt"`
		Metadata hexBytes
		Nonce    hexBytes
		AAD      hexBytes
		KID, CTR uint64
		PT, CT   hexBytes
	}
}

func vectors(t testing.TB) rfc {
	t.Helper()
	b, err := os.ReadFile("testdata/sframe-rfc9605-test-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v rfc
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRFC9605Headers(t *testing.T) {
	v := vectors(t)
	if len(v.Header) < 200 {
		t.Errorf("only %d vectors", len(v.Header))
	}
	for _, c := range v.Header {
		if got := appendHeader(nil, c.KID, c.CTR); !bytes.Equal(got, c.Encoded) {
			t.Errorf("%d, %d: %x, want %x", c.KID, c.CTR, got, c.Encoded)
		}
		for _, after := range [][]byte{nil, {1, 2, 3}} {
			kid, ctr, size, err := parseHeader(append(bytes.Clone(c.Encoded), after...))
			if err != nil || kid != c.KID || ctr != c.CTR || size != len(c.Encoded) {
				t.Errorf("%x before %x: %d, %d, %d, %v", c.Encoded, after, kid, ctr, size, err)
			}
		}
	}
}

func TestRFC9605Frames(t *testing.T) {
	suites, n := map[uint16]suite{4: suite4, 5: suite5}, 0
	for _, c := range vectors(t).SFrame {
		s, ok := suites[c.Suite]
		if !ok {
			continue // of the counter-mode suites, which are not in use
		}
		n++
		k, err := derive(s, c.BaseKey, c.KID)
		if err != nil {
			t.Fatal(err)
		}

		block, err := aes.NewCipher(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		want, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}

		zero := make([]byte, nonceSize)
		if !bytes.Equal(k.aead.Seal(nil, zero, nil, nil), want.Seal(nil, zero, nil, nil)) ||
			!bytes.Equal(k.salt[:], c.Salt) {
			t.Errorf("suite %d: another key or salt", c.Suite)
		}

		var scratch [nonceSize]byte
		if got := k.nonce(&scratch, c.CTR); !bytes.Equal(got, c.Nonce) {
			t.Errorf("suite %d: nonce %x", c.Suite, got)
		}
		sender := &Sender{key: k, next: c.CTR}
		got, err := sender.Seal([]byte("before"), c.Metadata, c.PT)
		if err != nil || !bytes.Equal(got, append([]byte("before"), c.CT...)) {
			t.Errorf("suite %d: sealed %x, %v", c.Suite, got, err)
		}

		if !bytes.Equal(sender.aad, c.AAD) {
			t.Errorf("suite %d: aad %x", c.Suite, sender.aad)
		}
		plain, ctr, err := (&Receiver{key: k}).Open([]byte("before"), c.Metadata, c.CT)
		if err != nil || ctr != c.CTR || !bytes.Equal(plain, append([]byte("before"), c.PT...)) {
			t.Errorf("suite %d: opened %x, %d, %v", c.Suite, plain, ctr, err)
		}
	}

	if n != 2 {
		t.Errorf("%d suites", n)
	}
}

var baseKey = bytes.Repeat([]byte{1}, 64)

func ends(t testing.TB, kid uint64) (*Sender, *Receiver) {
	t.Helper()
	s, err1 := NewSender(baseKey, kid)
	r, err2 := NewReceiver(baseKey, kid)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func seal(t testing.TB, s *Sender, text string) []byte {
	t.Helper()
	frame, err := s.Seal(nil, []byte("meta"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestBaseKeyIsAsLongAsTheSuitesOwnOrLonger(t *testing.T) {
	for _, key := range [][]byte{baseKey[:32], baseKey} {
		if s, err := NewSender(key, 0); s == nil || err != nil {
			t.Errorf("sender with %d bytes: %v", len(key), err)
		}
		if r, err := NewReceiver(key, 0); r == nil || err != nil {
			t.Errorf("receiver with %d bytes: %v", len(key), err)
		}
	}

	for _, key := range [][]byte{nil, baseKey[:16], baseKey[:31]} {
		if s, err := NewSender(key, 0); s != nil || !errors.Is(err, ErrBaseKey) {
			t.Errorf("sender with %d bytes: %v", len(key), err)
		}
		if r, err := NewReceiver(key, 0); r != nil || !errors.Is(err, ErrBaseKey) {
			t.Errorf("receiver with %d bytes: %v", len(key), err)
		}
	}
}

// TestSuiteOfAnUnknownSizeGivesNoKey: neither AES nor HKDF makes a key of an unknown size.
func TestSuiteOfAnUnknownSizeGivesNoKey(t *testing.T) {
	for _, size := range []int{17, 255*sha512.Size + 1} {
		if k, err := derive(suite{5, size, sha512.New}, baseKey, 0); k != nil || err == nil {
			t.Errorf("a key of %d bytes", size)
		}
	}
}

// TestEachFaultHasItsError: each fault has its error, nothing is returned, and the genuine frame opens afterwards.
func TestEachFaultHasItsError(t *testing.T) {
	s, r := ends(t, 1)
	frame := seal(t, s, "picture")
	other, _ := NewReceiver(bytes.Repeat([]byte{2}, 64), 1)
	_, kid := ends(t, 2)
	for name, row := range map[string]struct {
		r     *Receiver
		meta  string
		frame []byte
		want  error
	}{
		"empty":            {r, "meta", nil, ErrHeader},
		"header cut":       {r, "meta", []byte{0xff, 1}, ErrHeader},
		"KID not shortest": {r, "meta", append([]byte{0x80, 1}, frame[1:]...), ErrHeader},
		"CTR not shortest": {r, "meta", append([]byte{0x18, 0}, frame[1:]...), ErrHeader},
		"CTR with a zero":  {r, "meta", append([]byte{0x19, 0, 9}, frame[1:]...), ErrHeader},
		"header alone":     {r, "meta", frame[:1], ErrOpen},
		"cut":              {r, "meta", frame[:len(frame)-1], ErrOpen},
		"longer":           {r, "meta", append(bytes.Clone(frame), 0), ErrOpen},
		"other metadata":   {r, "Meta", frame, ErrOpen},
		"no metadata":      {r, "", frame, ErrOpen},
		"other CTR":        {r, "meta", append([]byte{0x11}, frame[1:]...), ErrOpen},
		"other key":        {other, "meta", frame, ErrOpen},
		"other KID":        {kid, "meta", frame, ErrKID},
	} {
		if plain, _, err := row.r.Open(nil, []byte(row.meta), row.frame); !errors.Is(err, row.want) || plain != nil {
			t.Errorf("%s: %q, %v, want %v", name, plain, err, row.want)
		}
	}

	for at := range frame {
		f := bytes.Clone(frame)
		f[at] ^= 1
		if plain, _, err := r.Open(nil, []byte("meta"), f); err == nil || plain != nil {
			t.Errorf("byte %d: opened", at)
		}
	}

	if plain, ctr, err := r.Open(nil, []byte("meta"), frame); err != nil || ctr != 0 || string(plain) != "picture" {
		t.Errorf("the true frame: %q, %v", plain, err)
	}
	if _, _, err := r.Open(nil, []byte("meta"), frame); !errors.Is(err, ErrReplayed) {
		t.Errorf("the same again: %v", err)
	}
}

// TestFramesMayArriveInAnyOrder: frames may arrive in any order within the window, each once. Older ones are refused.
func TestFramesMayArriveInAnyOrder(t *testing.T) {
	s, r := ends(t, 0)
	frames := make([][]byte, 3*windowSize)
	for i := range frames {
		frames[i] = seal(t, s, "x")
	}

	open := func(i int) error {
		_, _, err := r.Open(nil, []byte("meta"), frames[i])
		return err
	}
	for _, row := range []struct {
		ctr  int
		want error
	}{
		{5, nil}, {5, ErrReplayed}, {0, nil}, {4, nil}, {4, ErrReplayed}, {0, ErrReplayed},
		{windowSize + 4, nil}, {5, ErrReplayed}, {4, ErrReplayed}, {3, ErrReplayed}, {6, nil}, {windowSize + 3, nil},
		{3*windowSize - 1, nil}, {windowSize + 4, ErrReplayed}, {2*windowSize - 1, ErrReplayed}, {2 * windowSize, nil},
		{2 * windowSize, ErrReplayed},
	} {
		if err := open(row.ctr); !errors.Is(err, row.want) {
			t.Errorf("CTR %d: %v, want %v", row.ctr, err, row.want)
		}
	}
}

func TestLastCounterIsUsedOnce(t *testing.T) {
	s, r := ends(t, math.MaxUint64)
	s.next = math.MaxUint64
	last := seal(t, s, "last")
	if len(last) != len("last")+MaxOverhead {
		t.Errorf("%d bytes", len(last))
	}

	for range 2 {
		if frame, err := s.Seal(nil, nil, nil); frame != nil || !errors.Is(err, ErrExhausted) {
			t.Errorf("after the last: %x, %v", frame, err)
		}
	}

	if _, _, err := r.Open(nil, []byte("meta"), last); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Open(nil, []byte("meta"), last); !errors.Is(err, ErrReplayed) {
		t.Errorf("the last again: %v", err)
	}
}

// TestWindowAgreesWithAMap compares the window with a map, for counters that wander and jump between the first and the
// last of all.
func TestWindowAgreesWithAMap(t *testing.T) {
	const steps = 5000
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		first := uint64(0)
		if seed%2 == 1 {
			first = math.MaxUint64 - 3*steps
		}

		var w window
		seen, top, at := map[uint64]bool{}, uint64(0), uint64(0)
		for range steps {
			at++
			if random.IntN(200) == 0 {
				at += random.Uint64N(2 * windowSize)
			}
			back := min(at, random.Uint64N(1100)*random.Uint64N(2))
			ctr := first + min(at-back, math.MaxUint64-first)
			old := len(seen) > 0 && ctr < top && top-ctr >= windowSize
			got := w.has(ctr)

			switch {
			case (seen[ctr] || old) && !got:
				t.Fatalf("seed %d: %d is accepted, the highest being %d", seed, ctr, top)
			case got && !seen[ctr] && !old && !w.full: // once the last counter came, the window is one shorter
				t.Fatalf("seed %d: %d is refused, the highest being %d", seed, ctr, top)
			case !got:
				w.add(ctr)
				seen[ctr], top = true, max(top, ctr)
			}
		}

		if len(seen) < 1000 || w.full != (seed%2 == 1) {
			t.Errorf("seed %d: %d accepted, at the end: %v", seed, len(seen), w.full)
		}
	}
}

// TestNoAllocation: sealing and opening a frame allocates nothing.
func TestNoAllocation(t *testing.T) {
	s, r := ends(t, 1)
	metadata, plain := make([]byte, 32), make([]byte, 10_000)
	frame, opened := make([]byte, 0, len(plain)+MaxOverhead), make([]byte, 0, len(plain))
	if n := testing.AllocsPerRun(100, func() {
		f, err := s.Seal(frame, metadata, plain)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Open(opened, metadata, f); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for each frame", n)
	}
}

// BenchmarkSeal seals frames beside raw AES-256-GCM of the same size: what SFrame adds is the difference.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000} {
		s, _ := ends(b, 1)
		metadata, plain := make([]byte, 32), make([]byte, size)
		dst := make([]byte, 0, size+MaxOverhead)
		name := map[int]string{1_000: "1kB", 10_000: "10kB", 100_000: "100kB"}[size]
		b.Run(name+"/sframe", func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Seal(dst, metadata, plain); err != nil {
					b.Fatal(err)
				}
			}
		})

		b.Run(name+"/raw", func(b *testing.B) {
			b.SetBytes(int64(size))
			nonce := make([]byte, nonceSize)
			for ctr := uint64(0); b.Loop(); ctr++ {
				binary.BigEndian.PutUint64(nonce[4:], ctr)
				s.key.aead.Seal(dst, nonce, plain, nil)
			}
		})
	}
}
