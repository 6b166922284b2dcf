package media

import (
	"context"
	"net"
	"sync"
)

const (
	// maxGroup bounds the cached group of pictures, in bytes and in access units.
	maxGroup      = 16 << 20
	maxGroupUnits = 1024
	// maxQueue is how many access units wait for a slow subscriber, beyond the group it began with: 4 s at 15 per second.
	maxQueue = 64
)

// Broadcast hands each access unit to any number of subscribers and keeps the current group of pictures (from the
// last IDR picture on), so that whoever joins has a picture at once. It never waits for a subscriber.
// A group that outgrows 16 MB or 1024 access units is not kept: who joins then waits for the next IDR picture.
type Broadcast struct {
	mu          sync.Mutex // guards all below, and the subscriptions' fields
	group       []AccessUnit
	groupBytes  int
	subscribers map[*Subscription]struct{}
	closed      bool
}

// NewBroadcast returns a Broadcast without subscribers.
func NewBroadcast() *Broadcast { return &Broadcast{subscribers: make(map[*Subscription]struct{})} }

// Subscription is one subscriber's bounded queue. A subscriber that falls behind loses what follows, up to a keyframe.
type Subscription struct {
	from    *Broadcast
	queue   []AccessUnit
	limit   int
	waiting bool // for a keyframe
	dropped int
	closed  bool
	ready   chan struct{}
}

// Send gives unit to all subscribers.
func (b *Broadcast) Send(unit AccessUnit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if unit.Keyframe {
		b.group, b.groupBytes = nil, 0
	}
	if unit.Keyframe || len(b.group) > 0 {
		b.group = append(b.group, unit)
		b.groupBytes += len(unit.Data)
	}
	if b.groupBytes > maxGroup || len(b.group) > maxGroupUnits {
		b.group, b.groupBytes = nil, 0
	}
	for s := range b.subscribers {
		s.push(unit)
	}
}

// Reset forgets the group of pictures: the input died, and nobody is to be shown its last picture as live.
// Subscribers stay, and go on at the next keyframe.
func (b *Broadcast) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group, b.groupBytes = nil, 0
	for s := range b.subscribers {
		s.waiting = true
	}
}

// Close ends all subscriptions once their queues are empty.
func (b *Broadcast) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.group = true, nil
	for s := range b.subscribers {
		s.end()
	}
}

// Subscribe returns a new subscription, which begins with the current group of pictures.
func (b *Broadcast) Subscribe() *Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &Subscription{from: b, limit: len(b.group) + maxQueue, waiting: len(b.group) == 0, ready: make(chan struct{}, 1)}
	s.queue = append(s.queue, b.group...)
	if b.closed {
		s.end()
		return s
	}
	b.subscribers[s] = struct{}{}
	return s
}

// push is called with the Broadcast's mu held.
func (s *Subscription) push(unit AccessUnit) {
	full := len(s.queue) >= s.limit
	switch {
	case unit.Keyframe && full: // what waits is old by now: go on with this picture
		s.dropped += len(s.queue)
		s.queue = nil
	case unit.Keyframe:
	case full || s.waiting:
		if full {
			s.waiting = true
		}
		s.dropped++
		return
	}
	s.waiting = false
	s.queue = append(s.queue, unit)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// end is called with the Broadcast's mu held.
func (s *Subscription) end() {
	delete(s.from.subscribers, s)
	if !s.closed {
		s.closed = true
		close(s.ready)
	}
}

// Next waits for the next access unit. It returns ctx's error, or net.ErrClosed after Close.
func (s *Subscription) Next(ctx context.Context) (AccessUnit, error) {
	for {
		if unit, ok, err := s.take(); ok || err != nil {
			return unit, err
		}
		select {
		case <-ctx.Done():
			return AccessUnit{}, context.Cause(ctx)
		case <-s.ready:
		}
	}
}

// Waiting returns the next access unit if there is one already.
func (s *Subscription) Waiting() (unit AccessUnit, ok bool) {
	unit, ok, _ = s.take() // closed: there is none
	return unit, ok
}

func (s *Subscription) take() (unit AccessUnit, ok bool, err error) {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	if len(s.queue) > 0 {
		unit, s.queue[0] = s.queue[0], AccessUnit{}
		s.queue = s.queue[1:]
		return unit, true, nil
	}
	if s.closed {
		return AccessUnit{}, false, net.ErrClosed
	}
	return AccessUnit{}, false, nil
}

// Dropped counts the access units that this subscriber lost by being slow, or by waiting for a first keyframe.
func (s *Subscription) Dropped() int {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.dropped
}

// Close ends the subscription and forgets what waits. It may be called more than once.
func (s *Subscription) Close() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	s.queue = nil
	s.end()
}
