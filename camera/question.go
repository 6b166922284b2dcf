package camera

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/session"
)

const (
	// questionLife is how long a viewer has to answer. A viewer that still waits answers at once.
	questionLife = 30 * time.Second

	// maxQuestions is how many questions a viewer can have open: one for each session that it may hold.
	maxQuestions = sessionsPerViewer
)

type nonce [session.NonceSize]byte

// questions are the nonces that a viewer was asked for. An offer with one of them was made after the nonce was drawn;
// that much is certain, whatever the clocks of the two show. Each is good for one offer. The zero value is ready.
type questions struct {
	clock *clock.Clock // nil: this machine's

	mu   sync.Mutex
	open []question // guarded by mu; oldest first
}

type question struct {
	nonce nonce
	asked clock.Moment
}

// ask draws a nonce. If too many are open, it drops the oldest.
func (q *questions) ask() []byte {
	one := question{asked: q.clock.Now()}
	rand.Read(one.nonce[:])

	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(one.asked)
	if len(q.open) == maxQuestions {
		q.open = q.open[1:]
	}

	q.open = append(q.open, one)
	return one.nonce[:]
}

// answered reports whether an offer's nonce answers an open question, and closes that question.
func (q *questions) answered(offered []byte) bool {
	if len(offered) != session.NonceSize {
		return false
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(q.clock.Now())
	for i := range q.open {
		if q.open[i].nonce == nonce(offered) { // no secret: the viewer knows it
			q.open = append(q.open[:i], q.open[i+1:]...)
			return true
		}
	}

	return false
}

// expire drops the questions that nobody answers any more. It goes by the clock that keeps running while the machine
// sleeps, and by no other: somebody may be setting the wall clock just now. q.mu must be held.
func (q *questions) expire(now clock.Moment) {
	for len(q.open) > 0 && now.Sub(q.open[0].asked) > questionLife {
		q.open = q.open[1:]
	}
}
