package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// Stream is what a session needs of a camera's picture. *media.Feed implements it.
type Stream interface {
	// Subscribe returns a subscription that gives the current group of pictures at once, and then what follows.
	Subscribe() *media.Subscription
	// State returns the state of the input.
	State() media.State
}

const (
	// The camera sends the lower stream when pictures of the main one have been left out lowerTimes, over at least
	// lowerAfter, without a pause of lowerPause.
	lowerTimes = 3
	lowerAfter = 4 * time.Second
	lowerPause = 5 * time.Second
	// The only way to find out whether the path carries the main stream again is to send it. The selector tries that
	// after firstTried, and, if that was too early, after twice the time, up to maxTried. Once the main stream has held
	// for heldFor, the time starts at firstTried again.
	firstTried = 20 * time.Second
	maxTried   = 5 * time.Minute
	heldFor    = time.Minute
	// lowerSilent is how long the lower stream may give nothing before the camera sends the main one again.
	lowerSilent = 3 * time.Second
)

// Selector chooses which of a camera's two streams a viewer gets: the main one, or, if the path fails to carry that for
// some time, the lower one. It changes from one to the other at a keyframe. The goroutine that sends owns it, except
// for lower.
type Selector struct {
	main, low Stream      // low is nil if there is none
	lower     atomic.Bool // the lower stream is being sent

	present *media.Subscription
	other   *media.Subscription // waits for the keyframe at which to change to it; nil while the present one stays

	counted *media.Subscription // the subscription whose dropped pictures were counted last
	dropped int                 // how many it had dropped then

	since       time.Time     // when the present stream began
	first, last time.Time     // when pictures were left out, first and last, without a long pause
	times       int           // how often pictures were left out since first
	patience    time.Duration // how long to send the lower stream before trying the main one
}

// NewSelector returns a selector for a camera's streams. low is nil if there is no lower one.
func NewSelector(main, low Stream) *Selector {
	return &Selector{main: main, low: low}
}

// groups returns what is known about the stream's groups of pictures.
func (s *Selector) groups() media.Groups { return s.present.Groups() }

// skip drops the pictures that wait before a keyframe, and reports whether a keyframe waits.
func (s *Selector) skip() bool { return s.present.Skip() }

// backlog returns how many bytes wait.
func (s *Selector) backlog() int { return s.present.Backlog() }

// newlyDropped returns how many pictures the present subscription has dropped since the last call. Those that it
// dropped before it gave its first picture do not count.
func (s *Selector) newlyDropped() (n int) {
	dropped := s.present.Dropped()
	if s.counted == s.present {
		n = dropped - s.dropped
	}
	s.counted, s.dropped = s.present, dropped
	return n
}

// open subscribes to the stream that was sent last, from its current group of pictures on.
func (s *Selector) open() {
	s.present = s.stream(s.lower.Load()).Subscribe()
}

func (s *Selector) close() {
	s.present.Close()
	if s.other != nil {
		s.other.Close()
		s.other = nil
	}
}

func (s *Selector) stream(lower bool) Stream {
	if lower {
		return s.low
	}
	return s.main
}

// next waits for the next access unit to send.
func (s *Selector) next(ctx context.Context) (media.AccessUnit, error) {
	for {
		if unit, turned := s.changeOver(); turned {
			return unit, nil
		}
		if !s.lower.Load() {
			return s.present.Next(ctx)
		}

		patience, cancel := context.WithTimeout(ctx, lowerSilent)
		unit, err := s.present.Next(patience)
		cancel()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return unit, err
		}

		s.close()
		s.noteSent(false)
		s.open()
	}
}

// changeOver changes to the other stream if that is due and its keyframe has arrived.
func (s *Selector) changeOver() (unit media.AccessUnit, turned bool) {
	if s.low == nil {
		return unit, false
	}
	switch due := s.due(time.Now()); {
	case due && s.other == nil:
		s.other = s.stream(!s.lower.Load()).Subscribe()
		s.other.Forget()
	case !due && s.other != nil: // its keyframe took so long that there is no more need for it
		s.other.Close()
		s.other = nil
	}

	if s.other == nil {
		return unit, false
	}
	unit, turned = s.other.Waiting()
	if turned {
		s.present.Close()
		s.present, s.other = s.other, nil
		s.noteSent(!s.lower.Load())
	}

	return unit, turned
}

// noteSent notes which stream is sent from now on.
func (s *Selector) noteSent(lower bool) {
	now := time.Now()
	switch {
	case !lower:
	case now.Sub(s.since) > heldFor:
		s.patience = firstTried
	default:
		s.patience = min(2*s.patience, maxTried)
	}

	s.lower.Store(lower)
	s.since, s.times = now, 0
}

// noteLeftOut notes that a picture was left out.
func (s *Selector) noteLeftOut() {
	now := time.Now()
	if now.Sub(s.last) > lowerPause {
		s.times = 0
	}
	if s.times++; s.times == 1 {
		s.first = now
	}
	s.last = now
}

// due reports whether it is time to send the other stream.
func (s *Selector) due(now time.Time) bool {
	if s.lower.Load() {
		return now.Sub(s.since) >= s.patience && now.Sub(s.last) > clearAfter
	}
	return s.times >= lowerTimes && s.last.Sub(s.first) >= lowerAfter && now.Sub(s.last) <= lowerPause &&
		s.low.State().Live
}
