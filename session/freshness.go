package session

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	// LiveFor is how old a frame's challenge may be for the frame to be shown as live.
	LiveFor = 5 * time.Second
	// challengeEvery is how often a viewer issues a challenge.
	challengeEvery  = time.Second
	challengeSize   = 8
	challengesKnown = 64
)

// challenge is drawn by the viewer, sent to the camera, and comes back inside sealed frames.
type challenge [challengeSize]byte

// freshness tells live from delayed without trusting any clock but the viewer's own: a frame that carries a challenge
// was sealed after that challenge was issued. Who holds back a stream holds back the answers too.
type freshness struct {
	mu     sync.Mutex
	issued []issuedChallenge // guarded by mu; oldest first, at most challengesKnown
}

type issuedChallenge struct {
	value challenge
	at    time.Time
	wall  time.Time // the same without its monotonic reading, which stands still while the machine sleeps
}

// age is how long ago the challenge was issued, by the clock that says longer: a laptop that slept must not take for live
// what was held back meanwhile, and a clock that was set back must not either.
func (c issuedChallenge) age(now time.Time) time.Duration {
	return max(now.Sub(c.at), now.Round(0).Sub(c.wall))
}

func (f *freshness) issue(now time.Time) challenge {
	var c challenge
	rand.Read(c[:])
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.issued) == challengesKnown {
		f.issued = append(f.issued[:0], f.issued[1:]...)
	}
	f.issued = append(f.issued, issuedChallenge{c, now, now.Round(0)})
	return c
}

// judge fills in the frame's age and whether it is live. An unknown challenge makes it as old as all that are known.
func (f *freshness) judge(frame *Frame, c challenge, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.issued) - 1; i >= 0; i-- {
		if f.issued[i].value == c {
			frame.Age = f.issued[i].age(now)
			frame.Live = frame.Age <= LiveFor
			return
		}
	}
	frame.Age = challengesKnown * challengeEvery
}
