package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrReplayed is returned for an envelope that was accepted before.
var ErrReplayed = errors.New("envelope was delivered before")

// ErrTooMany is returned when more unexpired envelopes came than a device remembers. It fails closed: the mark that would
// have to be forgotten stays, and the new envelope is refused.
var ErrTooMany = errors.New("too many envelopes at once: try again in a minute")

const maxMarks = 4096

// Replays remembers the marks of accepted envelopes until they expire. Its zero value is ready.
type Replays struct {
	mu    sync.Mutex
	marks map[[32]byte]time.Time // guarded by mu; until when
}

// Accept marks an opened envelope, or returns ErrReplayed. A mark outlives the envelope's expiry by the clock skew that
// Open allows.
func (r *Replays) Accept(o Opened, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marks == nil {
		r.marks = make(map[[32]byte]time.Time)
	}
	if _, seen := r.marks[o.ReplayMark]; seen {
		return ErrReplayed
	}
	for mark, until := range r.marks {
		if now.After(until) {
			delete(r.marks, mark)
		}
	}
	if len(r.marks) >= maxMarks {
		return ErrTooMany
	}
	r.marks[o.ReplayMark] = o.Expiry.Add(2 * clockSkew)
	return nil
}

const markSize = 32 + 8

// MarshalBinary lays the marks out for a file: each mark and its Unix milliseconds.
func (r *Replays) MarshalBinary() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := make([]byte, 0, len(r.marks)*markSize)
	for mark, until := range r.marks {
		b = append(b, mark[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(until.UnixMilli()))
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary laid out.
func (r *Replays) UnmarshalBinary(b []byte) error {
	if len(b)%markSize != 0 || len(b)/markSize > maxMarks {
		return fmt.Errorf("read replay marks: %d bytes", len(b))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = make(map[[32]byte]time.Time, len(b)/markSize)
	for ; len(b) > 0; b = b[markSize:] {
		r.marks[[32]byte(b)] = time.UnixMilli(int64(binary.BigEndian.Uint64(b[32:])))
	}
	return nil
}
