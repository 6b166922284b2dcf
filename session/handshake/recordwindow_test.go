package handshake

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// Each counter is accepted once, in any order, unless it is 64 or more behind the newest.
func TestRecordWindow(t *testing.T) {
	type step struct {
		counter uint64
		want    error
	}
	const last = math.MaxUint64
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{0, nil}, {0, ErrRecordCopy}, {1, nil}, {2, nil}, {1, ErrRecordCopy}, {0, ErrRecordCopy}}},
		{"backwards", []step{{2, nil}, {1, nil}, {0, nil}, {2, ErrRecordCopy}, {1, ErrRecordCopy}, {0, ErrRecordCopy}}},
		{"the first is overtaken by 63", []step{{63, nil}, {0, nil}, {0, ErrRecordCopy}, {63, ErrRecordCopy}}},
		{"the first is overtaken by 64", []step{{64, nil}, {0, ErrRecordLate}, {1, nil}, {1, ErrRecordCopy}}},
		{"the window moves by one", []step{{0, nil}, {63, nil}, {0, ErrRecordCopy}, {64, nil}, {0, ErrRecordLate},
			{63, ErrRecordCopy}, {1, nil}}},
		{"it moves by 63", []step{{5, nil}, {68, nil}, {5, ErrRecordCopy}, {6, nil}, {4, ErrRecordLate}}},
		{"it moves by 64", []step{{5, nil}, {69, nil}, {5, ErrRecordLate}, {6, nil}, {68, nil}}},
		{"it moves by 65", []step{{5, nil}, {70, nil}, {5, ErrRecordLate}, {6, ErrRecordLate}, {7, nil}}},
		{"it moves far", []step{{5, nil}, {1 << 40, nil}, {5, ErrRecordLate}, {1<<40 - 64, ErrRecordLate},
			{1<<40 - 63, nil}, {1<<40 - 63, ErrRecordCopy}}},
		{"the last counters of all", []step{{last - 64, nil}, {last, nil}, {last, ErrRecordCopy},
			{last - 64, ErrRecordLate}, {last - 63, nil}, {0, ErrRecordLate}, {63, ErrRecordLate}, {last - 1, nil}}},
	} {
		var w recordWindow
		for i, s := range tt.steps {
			if got := w.accept(s.counter); got != s.want {
				t.Errorf("%s, step %d: counter %d: %v, want %v", tt.name, i, s.counter, got, s.want)
			}
		}
	}
}

// FuzzRecordWindow compares the window with the set of all counters that it has accepted. A script is the first
// counter, and then steps of one byte: up to 99 back from the newest counter, up to 99 forward, or far forward.
func FuzzRecordWindow(f *testing.F) {
	f.Add(uint64(0), []byte{100, 99, 101, 101, 0})
	f.Add(uint64(63), []byte{36, 37, 38, 100, 163, 164})
	f.Add(uint64(math.MaxUint64-70), []byte{163, 199, 36, 100, 99})
	f.Add(uint64(7), []byte{220, 36, 37, 255, 36, 37})
	f.Fuzz(func(t *testing.T, counter uint64, script []byte) {
		var w recordWindow
		accepted := make(map[uint64]bool)
		newest := uint64(0)
		for i := 0; ; i++ {
			want := error(nil)
			switch {
			case len(accepted) > 0 && newest >= 64 && counter <= newest-64:
				want = ErrRecordLate
			case accepted[counter]:
				want = ErrRecordCopy
			}
			if got := w.accept(counter); got != want {
				t.Fatalf("step %d: counter %d, newest %d: %v, want %v", i, counter, newest, got, want)
			}

			if want == nil {
				accepted[counter], newest = true, max(newest, counter)
			}
			if i == len(script) {
				return
			}
			counter = stepFrom(newest, script[i])
		}
	})
}

// stepFrom returns the counter that lies a scripted step from the newest, within the limits of a counter.
func stepFrom(newest uint64, step byte) uint64 {
	switch back, forward := uint64(100)-uint64(min(step, 100)), uint64(step)-100; {
	case step <= 100:
		return newest - min(back, newest)
	case step < 200:
		return newest + min(forward, math.MaxUint64-newest)
	default:
		return newest + min(1<<(step-192), math.MaxUint64-newest)
	}
}

// Records of one direction open in any order, each once.
func TestRecordsOpenInAnyOrderOnce(t *testing.T) {
	send, open := ends(testSecret(t), signalingChannel, envelope.ToViewer)
	var wires [][]byte
	for range 3 * recordWindowSize {
		wires = append(wires, sealed(t, send, Message{Type: "candidate"}))
	}

	for group := range slices.Chunk(wires, recordWindowSize) {
		slices.Reverse(group)
		for _, wire := range group {
			if m, err := open.open(wire); err != nil || m.Type != "candidate" {
				t.Fatalf("record %d: %+v, %v", binary.BigEndian.Uint64(wire[1:]), m, err)
			}
		}

		for _, wire := range group {
			if m, err := open.open(wire); !errors.Is(err, ErrRecordCopy) || m.Type != "" || !IsHarmless(err) {
				t.Fatalf("a copy of record %d: %+v, %v", binary.BigEndian.Uint64(wire[1:]), m, err)
			}
		}
	}

	if m, err := open.open(wires[0]); !errors.Is(err, ErrRecordLate) || m.Type != "" || !IsHarmless(err) {
		t.Errorf("a record from long ago: %+v, %v", m, err)
	}
}

// A record that states something does not count once a newer one of its type has opened. The others all count,
// whatever their order.
func TestNewestStateCounts(t *testing.T) {
	for kind, want := range map[string]error{
		"challenge": ErrRecordLate, "status": ErrRecordLate, "sending": ErrRecordLate, "network": ErrRecordLate,
		"candidate": nil, "bye": nil, "hello": nil, "keyframe": nil, "punch": nil,
	} {
		send, open := ends(testSecret(t), dataChannel, envelope.ToViewer)
		first, other := sealed(t, send, Message{Type: kind}), sealed(t, send, Message{Type: "another"})
		second, third := sealed(t, send, Message{Type: kind}), sealed(t, send, Message{Type: kind})
		for i, s := range []struct {
			wire []byte
			want error
		}{{second, nil}, {first, want}, {first, ErrRecordCopy}, {other, nil}, {third, nil}, {second, ErrRecordCopy}} {
			m, err := open.open(s.wire)
			if !errors.Is(err, s.want) || (err == nil) != (m.Type != "") {
				t.Errorf("%s, step %d: %+v, %v; want %v", kind, i, m, err, s.want)
			}
		}
	}
}

// A carrier that repeats records uses up nothing of what the end obeys.
func TestCopiesAreNotChargedToTheAllowance(t *testing.T) {
	send, open := ends(testSecret(t), signalingChannel, envelope.ToCamera)
	open.allowance = rate.NewLimiter(0, 2)
	first := sealed(t, send, Message{Type: "candidate"})
	for i := range 10 {
		if _, err := open.open(first); (err == nil) != (i == 0) || errors.Is(err, ErrTooFast) {
			t.Fatalf("copy %d: %v", i, err)
		}
	}

	for _, want := range []error{nil, ErrTooFast} {
		if _, err := open.open(sealed(t, send, Message{Type: "candidate"})); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}
