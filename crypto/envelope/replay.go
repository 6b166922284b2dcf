package envelope

import (
	"errors"
	"sync"
	"time"
)

// ErrReplayed is returned for an envelope that was accepted before.
var ErrReplayed = errors.New("envelope was delivered before")

// ErrTooMany is returned when more unexpired envelopes arrived than a device remembers. It fails closed: no mark is
// forgotten, and the new envelope is refused.
var ErrTooMany = errors.New("too many envelopes at once: try again in a minute")

const maxMarks = 4096

// Replays remembers the marks of accepted envelopes in memory until they expire, and longer while there is room:
// setting the clock forward and back must not make it forget an envelope that would open again. A restart may: an
// envelope starts a session, and a session has fresh keys of both ends, so an envelope that is accepted again after a
// restart starts one that nobody can follow. The zero value is ready.
type Replays struct {
	mu        sync.Mutex
	marks     map[[32]byte]time.Time // guarded by mu; until when
	forgotten time.Time              // guarded by mu; every forgotten mark was valid until then at most
}

// Accept marks an opened envelope, or returns ErrReplayed. A mark outlives the envelope's expiry by the clock skew that
// Open allows.
func (r *Replays) Accept(o Opened, now time.Time) error {
	until := o.Expiry.Add(clockSkew)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marks == nil {
		r.marks = make(map[[32]byte]time.Time)
	}

	if _, seen := r.marks[o.ReplayMark]; seen {
		return ErrReplayed
	}
	if len(r.marks) >= maxMarks {
		r.forget(now)
	}

	// It opens, so the clock was set back: its mark may have been forgotten.
	if !until.After(r.forgotten) {
		return ErrReplayed
	}
	if len(r.marks) >= maxMarks {
		return ErrTooMany
	}

	r.marks[o.ReplayMark] = until
	return nil
}

// forget makes room. r.mu must be held.
func (r *Replays) forget(now time.Time) {
	for mark, until := range r.marks {
		if !now.After(until) {
			continue
		}
		delete(r.marks, mark)
		if until.After(r.forgotten) {
			r.forgotten = until
		}
	}
}
