package main

import (
	"context"
	"sync"
	"time"
)

// liveWithin is how old the last frame of a session may be to count as showing a picture: three of the lens' seconds.
const liveWithin = 3 * time.Second

// sample is the households that watch all the time, in real WebRTC sessions through the relay's TURN server.
type sample struct {
	tally *tally
	work  sync.WaitGroup
	stop  context.CancelFunc

	mu     sync.Mutex
	last   map[*household]time.Time // of the last frame of their own camera; guarded by mu
	back   map[*household]bool      // guarded by mu
	healed time.Time                // guarded by mu
}

func newSample(t *tally) *sample {
	return &sample{tally: t, last: make(map[*household]time.Time), back: make(map[*household]bool), stop: func() {}}
}

func (s *sample) start(ctx context.Context, homes []*household) {
	ctx, s.stop = context.WithCancel(ctx)
	for _, h := range homes {
		s.work.Go(func() { h.lens.run(ctx) })
		s.work.Go(func() { h.app.watch(ctx, h, s) })
	}
}

// frame counts one frame that a person saw. A still, which comes through signaling before the stream, can be a
// stranger's like any other, and does not prove that the session is back.
func (s *sample) frame(h *household, unit []byte, still bool) {
	now, own := time.Now(), h.owns(unit)
	h.mu.Lock()
	first := h.sees(own)
	h.mu.Unlock()
	live := own && !still
	s.mu.Lock()
	back := live && !s.healed.IsZero() && !s.back[h]
	if live {
		s.last[h] = now
	}

	if back {
		s.back[h] = true
	}
	healed := s.healed
	s.mu.Unlock()
	s.tally.add(func(c *counts) {
		switch {
		case !own:
			c.LiveStrangers++
		case live:
			c.LiveOwn++
		}

		if first {
			c.Saw++
		}
		if back {
			c.LiveBack++
			c.liveBack = append(c.liveBack, now.Sub(healed))
		}
	})
}

func (s *sample) broke(*household) { s.tally.add(func(c *counts) { c.LiveBroke++ }) }

func (s *sample) heal(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = now
}

// live returns how many have a picture now.
func (s *sample) live(now time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.last {
		if now.Sub(at) < liveWithin {
			n++
		}
	}

	return n
}
