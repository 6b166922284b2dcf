package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/media"
)

const (
	// The lower stream is taken when pictures of the main one have been left out lowerTimes, and for lowerAfter, without a pause of lowerPause
	// between.
	lowerTimes = 3
	lowerAfter = 4 * time.Second
	lowerPause = 5 * time.Second
	// Whether the path carries the main stream again shows only when that is sent. It is tried after triedFirst; and where that was
	// too early, after twice the time, up to triedMost. A stream that held for heldFor is tried as soon again as at first.
	triedFirst = 20 * time.Second
	triedMost  = 5 * time.Minute
	heldFor    = time.Minute
	// lowerSilent is how long the lower stream may send nothing before it is left.
	lowerSilent = 3 * time.Second
)

// selection is what a viewer gets of a camera's two streams: the main one, and where the path does not carry that for long, the lower one.
// It goes from one to the other at a keyframe. The goroutine that sends owns it, but for lower.
type selection struct {
	main, low Stream      // low nil: there is none
	lower     atomic.Bool // the lower one is sent

	present *media.Subscription
	other   *media.Subscription // waits for the keyframe to go on with; nil: the present one stays

	since       time.Time // when the present one was taken
	first, last time.Time // when pictures were left out, without a long pause between
	times       int       // how often
	patience    time.Duration
}

// open begins with the current group of pictures of the stream that was sent last.
func (s *selection) open() {
	s.present = s.stream(s.lower.Load()).Subscribe()
}

func (s *selection) close() {
	s.present.Close()
	if s.other != nil {
		s.other.Close()
		s.other = nil
	}
}

func (s *selection) stream(lower bool) Stream {
	if lower {
		return s.low
	}
	return s.main
}

// next waits for the next access unit to send.
func (s *selection) next(ctx context.Context) (media.AccessUnit, error) {
	for {
		if unit, turned := s.turn(); turned {
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
		s.taken(false)
		s.open()
	}
}

// turn goes on with the other stream, if that is wanted and its keyframe is there.
func (s *selection) turn() (unit media.AccessUnit, turned bool) {
	if s.low == nil {
		return unit, false
	}
	switch due := s.due(time.Now()); {
	case due && s.other == nil:
		s.other = s.stream(!s.lower.Load()).Subscribe()
		s.other.Forget()
	case !due && s.other != nil: // it let itself be waited for until there was no need any more
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
		s.taken(!s.lower.Load())
	}
	return unit, turned
}

// taken notes which stream is sent from now on.
func (s *selection) taken(lower bool) {
	now := time.Now()
	switch {
	case !lower:
	case now.Sub(s.since) > heldFor:
		s.patience = triedFirst
	default:
		s.patience = min(2*s.patience, triedMost)
	}
	s.lower.Store(lower)
	s.since, s.times = now, 0
}

// left is told that a picture was left out.
func (s *selection) left() {
	now := time.Now()
	if now.Sub(s.last) > lowerPause {
		s.times = 0
	}
	if s.times++; s.times == 1 {
		s.first = now
	}
	s.last = now
}

// due says whether the other stream is to be sent.
func (s *selection) due(now time.Time) bool {
	if s.lower.Load() {
		return now.Sub(s.since) >= s.patience && now.Sub(s.last) > lackUntil
	}
	return s.times >= lowerTimes && s.last.Sub(s.first) >= lowerAfter && now.Sub(s.last) <= lowerPause && s.low.State().Live
}
