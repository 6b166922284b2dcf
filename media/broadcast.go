package media

import (
	"context"
	"net"
	"sync"
	"time"
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
	groups      Groups
	subscribers map[*Subscription]struct{}
	closed      bool
}

// Groups is what a stream's groups of pictures are like.
type Groups struct {
	Bytes  int           // of the present one, so far
	Began  time.Time     // when its keyframe was captured; zero: there is none
	Last   int           // bytes of the one before; 0: there was none
	Length time.Duration // how long that one lasted
}

// Rate is the stream's bit rate over the last whole group of pictures and the present one; 0: unknown.
func (g Groups) Rate() float64 {
	if g.Length <= 0 {
		return 0
	}
	return float64(g.Last) * 8 / g.Length.Seconds()
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
		b.groups = b.groups.next(unit.Captured)
	}
	b.groups.Bytes += len(unit.Data)
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
	b.group, b.groupBytes, b.groups = nil, 0, Groups{}
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

// next is called at a keyframe.
func (g Groups) next(captured time.Time) Groups {
	n := Groups{Began: captured}
	if !g.Began.IsZero() {
		n.Last, n.Length = g.Bytes, captured.Sub(g.Began)
	}
	return n
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

// Groups tells of the stream's groups of pictures, as they were sent to all.
func (s *Subscription) Groups() Groups {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.from.groups
}

// Skip forgets what waits before the newest keyframe that waits, n access units. It reports whether there is one.
func (s *Subscription) Skip() (n int, ok bool) {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	for n := len(s.queue) - 1; n >= 0; n-- {
		if s.queue[n].Keyframe {
			clear(s.queue[:n])
			s.queue, s.dropped = s.queue[n:], s.dropped+n
			return n, true
		}
	}
	return 0, false
}

// Forget forgets what waits, and all that comes before the next keyframe.
func (s *Subscription) Forget() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	s.dropped += len(s.queue)
	s.queue, s.waiting = nil, true
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
