package handshake

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

const (
	// LiveFor is how long after its challenge was issued a picture may be called live.
	LiveFor = 5 * time.Second
	// ChallengeEvery is how often a viewer issues a challenge.
	ChallengeEvery  = time.Second
	challengeSize   = 8
	challengesKnown = 64
)

// Challenge is a random value that the viewer sends to the camera, and that comes back inside sealed frames.
type Challenge [challengeSize]byte

// Freshness determines how old a picture can be, and trusts no clock except the viewer's own: a frame that carries a
// challenge was sealed after that challenge was issued. An attacker who holds back a stream holds back its answers too.
type Freshness struct {
	clock *clock.Clock // nil means this machine's

	mu     sync.Mutex
	issued []issuedChallenge // guarded by mu; oldest first, at most challengesKnown
}

// NewFreshness returns a Freshness that reads c; nil means this machine's clock.
func NewFreshness(c *clock.Clock) *Freshness { return &Freshness{clock: c} }

type issuedChallenge struct {
	value Challenge
	at    clock.Moment
}

// Issue draws a challenge. It reads the clock before anybody can answer, so if the process is stopped here, pictures
// seem older than they are, but never younger.
func (f *Freshness) Issue() Challenge {
	at := f.clock.Now()
	var c Challenge
	rand.Read(c[:])

	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.issued) == challengesKnown {
		f.issued = append(f.issued[:0], f.issued[1:]...)
	}

	f.issued = append(f.issued, issuedChallenge{c, at})
	return c
}

// when returns the moment at which c was issued. It is zero if c was not issued here, or so long ago that it has been
// forgotten.
func (f *Freshness) when(c Challenge) clock.Moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.issued) - 1; i >= 0; i-- {
		if f.issued[i].value == c {
			return f.issued[i].at
		}
	}

	return clock.Moment{}
}
