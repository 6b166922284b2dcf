package media

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

const (
	// maxGroup bounds the cached group of pictures, in bytes. Each access unit counts for unitCost more than its data,
	// and for nalCost more for each NAL unit that is remembered.
	maxGroup = 16 << 20
	unitCost = 256
	nalCost  = 24
	// maxQueue bounds the access units that wait for a slow subscriber, beyond the group it began with. They are
	// counted in the same way. Their number has no bound: the session leaves out those that have waited too long.
	maxQueue = 16 << 20
	// maxGroupAge is how long a group stays current after its input was last heard. A longer silence means that the
	// input has stalled, the machine has slept, or its clock was set, and that the group dates from before that.
	maxGroupAge = 5 * time.Second
)

// Broadcast hands each access unit to any number of subscribers. It never waits for one of them.
//
// It keeps the current group of pictures, which begins with the last keyframe, so that new subscribers have a picture
// at once. It does not keep a group that outgrows 16 MB or whose input was last heard more than 5 s ago; new
// subscribers then wait for the next keyframe.
type Broadcast struct {
	mu          sync.Mutex // guards all below, and the fields of all subscriptions
	group       []AccessUnit
	groupBytes  int
	groups      Groups
	heard       clock.Moment // when the input last showed that it is alive, with or without a picture
	subscribers map[*Subscription]struct{}
	closed      bool
}

// Groups describes a stream's current and previous group of pictures.
type Groups struct {
	Bytes  int           // the size of the current group so far
	Began  clock.Moment  // when its keyframe was captured; zero if there is no group
	Last   int           // the size of the previous group, in bytes; 0 if there is none
	Length time.Duration // how long the previous group lasted
}

// Rate returns the bit rate of the previous group of pictures, in bits per second; 0 if it is unknown.
func (g Groups) Rate() float64 {
	if g.Length <= 0 {
		return 0
	}
	return float64(g.Last) * 8 / g.Length.Seconds()
}

// NewBroadcast returns a Broadcast without subscribers.
func NewBroadcast() *Broadcast { return &Broadcast{subscribers: make(map[*Subscription]struct{})} }

// Subscription is the bounded queue of one subscriber. A subscriber that falls behind loses the access units that
// follow, up to a keyframe.
type Subscription struct {
	from    *Broadcast
	queue   []AccessUnit
	size    int  // of the queue, in bytes
	limit   int  // the largest size
	waiting bool // drop everything up to the next keyframe
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

	b.dropStaleGroup()
	if unit.Keyframe {
		b.group, b.groupBytes = nil, 0
		b.groups = b.groups.next(unit.Captured)
	}
	b.groups.Bytes += len(unit.Data)
	if unit.Keyframe || len(b.group) > 0 {
		b.group = append(b.group, unit)
		b.groupBytes += unit.cost()
	}
	if b.groupBytes > maxGroup {
		b.group, b.groupBytes = nil, 0
	}

	for s := range b.subscribers {
		s.push(unit)
	}
}

// Reset forgets the group of pictures. Call it when the input has died, so that nobody is shown its last picture as
// live. Subscribers stay, and continue at the next keyframe.
func (b *Broadcast) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group, b.groupBytes, b.groups = nil, 0, Groups{}
	for s := range b.subscribers {
		s.waiting = true
	}
}

// hasGroup reports whether a new subscription would begin with a picture.
func (b *Broadcast) hasGroup() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropStaleGroup()
	return len(b.group) > 0
}

// Close ends all subscriptions once their queues are empty.
func (b *Broadcast) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.group = true, nil
	for s := range b.subscribers {
		s.endLocked()
	}
}

// Subscribe returns a new subscription, which begins with the current group of pictures.
func (b *Broadcast) Subscribe() *Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropStaleGroup()
	s := &Subscription{
		from:    b,
		size:    b.groupBytes,
		limit:   b.groupBytes + maxQueue,
		waiting: len(b.group) == 0,
		ready:   make(chan struct{}, 1),
	}

	s.queue = append(s.queue, b.group...)
	if b.closed {
		s.endLocked()
		return s
	}
	b.subscribers[s] = struct{}{}
	return s
}

// noteAlive notes that the input was heard, so that the group of pictures stays current without a new picture.
func (b *Broadcast) noteAlive(at clock.Moment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropStaleGroup()
	b.heard = at
}

// dropStaleGroup forgets a group of pictures that is no longer current. mu must be held.
func (b *Broadcast) dropStaleGroup() {
	if len(b.group) == 0 {
		return
	}
	last := b.group[len(b.group)-1].Captured
	if !b.heard.IsZero() && b.heard.Sub(last) > 0 {
		last = b.heard
	}

	if last.Age() > maxGroupAge {
		b.group, b.groupBytes = nil, 0
	}
}

// cost returns what an access unit counts for in a group or queue, in bytes.
func (u AccessUnit) cost() int { return len(u.Data) + unitCost + len(u.parsed.nals)*nalCost }

// next returns the Groups after another one has begun, with a keyframe captured at that time.
func (g Groups) next(captured clock.Moment) Groups {
	n := Groups{Began: captured}
	if !g.Began.IsZero() {
		n.Last, n.Length = g.Bytes, captured.Sub(g.Began)
	}
	return n
}

// push adds unit to the queue, or drops it or the queue. The Broadcast's mu must be held.
func (s *Subscription) push(unit AccessUnit) {
	full := s.size+unit.cost() > s.limit
	switch {
	case unit.Keyframe && full: // the queue is old by now: continue with this picture
		s.dropped += len(s.queue)
		s.queue, s.size = nil, 0
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
	s.size += unit.cost()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// endLocked ends the subscription. The Broadcast's mu must be held.
func (s *Subscription) endLocked() {
	delete(s.from.subscribers, s)
	if !s.closed {
		s.closed = true
		close(s.ready)
	}
}

// Next waits for the next access unit. It returns ctx's error, or net.ErrClosed after Close.
func (s *Subscription) Next(ctx context.Context) (AccessUnit, error) {
	for {
		if unit, ok, err := s.pop(); ok || err != nil {
			return unit, err
		}
		select {
		case <-ctx.Done():
			return AccessUnit{}, context.Cause(ctx)
		case <-s.ready:
		}
	}
}

// Waiting returns the next access unit without waiting for it. ok is false if there is none yet, or after Close.
func (s *Subscription) Waiting() (unit AccessUnit, ok bool) {
	unit, ok, _ = s.pop()
	return unit, ok
}

// pop removes the first access unit from the queue. If the queue is empty, ok is false, and err is net.ErrClosed if the
// subscription has ended.
func (s *Subscription) pop() (unit AccessUnit, ok bool, err error) {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	if len(s.queue) > 0 {
		unit, s.queue[0] = s.queue[0], AccessUnit{}
		s.queue = s.queue[1:]
		s.size -= unit.cost()
		return unit, true, nil
	}

	if s.closed {
		return AccessUnit{}, false, net.ErrClosed
	}
	return AccessUnit{}, false, nil
}

// Groups describes the stream's groups of pictures, whether or not this subscriber lost some of them.
func (s *Subscription) Groups() Groups {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.from.groups
}

// Backlog returns the size of the queue, in bytes.
func (s *Subscription) Backlog() int {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.size
}

// Skip drops everything in the queue before its newest keyframe. It reports whether there is such a keyframe.
func (s *Subscription) Skip() bool {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	for n := len(s.queue) - 1; n >= 0; n-- {
		if s.queue[n].Keyframe {
			for _, unit := range s.queue[:n] {
				s.size -= unit.cost()
			}
			clear(s.queue[:n])
			s.queue, s.dropped = s.queue[n:], s.dropped+n
			return true
		}
	}

	return false
}

// Forget drops the queue, and everything that follows up to the next keyframe.
func (s *Subscription) Forget() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	s.dropped += len(s.queue)
	s.queue, s.size, s.waiting = nil, 0, true
}

// Dropped returns how many access units this subscriber has lost by being slow or by waiting for a keyframe.
func (s *Subscription) Dropped() int {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	return s.dropped
}

// Close ends the subscription and drops the queue. It may be called more than once.
func (s *Subscription) Close() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	s.queue, s.size = nil, 0
	s.endLocked()
}
