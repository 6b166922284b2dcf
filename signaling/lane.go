package signaling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// laneSize bounds the messages of one SendAll that wait for one carrier. It leaves room for a still.
const laneSize = 64

// SendAll is [Client.SendAll] on all carriers at once. Each gets the messages in order. A carrier that is away holds up
// no other, and drops what waits for too long or is too much. SendAll calls refused, on the caller's goroutine, for a
// message that all carriers that are connected have refused. It returns nil once queue is closed and each message was
// accepted by one carrier, refused or dropped. Then the other carriers go on in the background, even if ctx ends, for
// as long as the messages live.
func (r *Route) SendAll(
	ctx context.Context, mb Mailbox, queue <-chan Outgoing, ttl time.Duration, refused func(error),
) error {
	s := &sendOnAll{
		background: r.carriers.newBackground(ctx),
		mailbox:    mb,
		ttl:        ttl,
		news:       make(chan struct{}, 1),
		lanes:      make(map[*member]*lane),
	}
	r.mu.Lock()
	r.register(s, s.background)
	for _, m := range r.members {
		s.join(m)
	}
	r.mu.Unlock()

	err := s.run(ctx, r.carriers.closed, queue, refused)
	s.close()
	if err != nil {
		s.end()
		return err
	}
	s.goOn(max(ttl, minCarrierLife))
	return nil
}

// sendOnAll is the state of one SendAll.
type sendOnAll struct {
	background
	mailbox Mailbox
	ttl     time.Duration
	news    chan struct{} // holds one token when a lane has room, or a message an answer, or a carrier has joined

	mu     sync.Mutex
	lanes  map[*member]*lane // guarded by mu
	sent   []*copies         // guarded by mu; what carriers that join send too, oldest first
	open   []*copies         // guarded by mu; messages that nobody has accepted yet, oldest first
	closed bool              // guarded by mu; nothing more will come
}

// join makes a carrier send, too, beginning with what was sent before and still lives.
func (s *sendOnAll) join(m *member) {
	mb, ok := m.mailbox(s.mailbox)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &lane{news: s.news, wake: make(chan struct{}, 1)}
	s.lanes[m] = l
	for _, c := range s.sent {
		c.pushOn(m, l, s.news)
	}
	if s.closed {
		l.close()
	}
	signal(s.news)

	begun := m.begin(func() {
		working, cancel := context.WithCancel(s.ctx)
		defer cancel()
		defer context.AfterFunc(m.ctx, cancel)()
		l.send(working, m.Client, mb, s.ttl)
		s.drop(m)
	})
	if !begun {
		l.abandon()
	}
}

// drop waits no longer for a carrier that has ended.
func (s *sendOnAll) drop(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.resolve(m, errDropped)
	}
	signal(s.news)
}

// close tells the lanes that nothing more will come.
func (s *sendOnAll) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.lanes {
		l.close()
	}
}

// run hands messages to the lanes until all have an answer.
func (s *sendOnAll) run(ctx, closed context.Context, queue <-chan Outgoing, refused func(error)) error {
	var grace <-chan time.Time // set while a refusal waits
	for queue != nil || s.isOpen() {
		from := queue
		if !s.hasRoom() {
			from = nil
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("send messages: %w", ctx.Err())
		case <-closed.Done():
			return fmt.Errorf("send messages: %w", net.ErrClosed)
		case o, ok := <-from:
			if !ok {
				queue = nil
			} else if err := checkBody(o.Body); err != nil {
				refused(err)
			} else {
				s.add(o)
			}
		case <-s.news:
			if s.judge(refused, false) && grace == nil {
				grace = time.After(carrierGrace)
			}
		case <-grace:
			grace = nil
			if s.judge(refused, true) {
				grace = time.After(carrierGrace)
			}
		}
	}
	return nil
}

// isOpen reports whether a message waits for an answer.
func (s *sendOnAll) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) > 0
}

// hasRoom reports whether a carrier that is connected has room, or any if none is connected.
func (s *sendOnAll) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	connected, room := false, false
	for m, l := range s.lanes {
		if !m.Client.Connected() {
			room = room || l.hasRoom()
			continue
		}
		if l.hasRoom() {
			return true
		}
		connected = true
	}
	return room && !connected
}

// add puts a message into all lanes.
func (s *sendOnAll) add(o Outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &copies{message: o}
	s.open = append(s.open, c)
	if len(s.sent) >= laneSize {
		s.sent = slices.DeleteFunc(s.sent, func(c *copies) bool { return c.message.late() })
	}
	if len(s.sent) >= laneSize {
		s.sent = slices.Delete(s.sent, 0, 1)
	}
	s.sent = append(s.sent, c)
	for m, l := range s.lanes {
		c.pushOn(m, l, s.news)
	}
}

// judge forgets the messages that have their answer, and reports those that were refused. After the grace, carriers
// that are not connected do not count. It reports whether a refusal waits for the grace.
func (s *sendOnAll) judge(refused func(error), graceOver bool) (waits bool) {
	var refusals []error
	s.mu.Lock()
	s.open = slices.DeleteFunc(s.open, func(c *copies) bool {
		c.mu.Lock()
		defer c.mu.Unlock()

		over := len(c.pending) == 0 || graceOver && c.refusal != nil && !anyConnected(c.pending)
		switch {
		case c.accepted:
			return true
		case over && c.refusal != nil:
			refusals = append(refusals, c.refusal)
		case c.refusal != nil:
			waits = true
		}
		return over
	})
	s.mu.Unlock()

	for _, refusal := range refusals {
		refused(refusal)
	}
	return waits
}

// copies are the copies of one message in the lanes.
type copies struct {
	message Outgoing

	mu       sync.Mutex
	pending  []*member // guarded by mu; the carriers without an answer
	accepted bool      // guarded by mu
	refusal  error     // guarded by mu; the first
}

// pushOn puts a copy into a carrier's lane. news gets a token with the answer.
func (c *copies) pushOn(m *member, l *lane, news chan struct{}) {
	c.mu.Lock()
	c.pending = append(c.pending, m)
	c.mu.Unlock()

	o := c.message
	o.answered = func(err error) { c.resolve(m, err); signal(news) }
	l.push(o)
}

// resolve notes how it went on one carrier.
func (c *copies) resolve(m *member, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.pending = slices.DeleteFunc(c.pending, func(other *member) bool { return other == m })
	c.accepted = c.accepted || err == nil
	if err != nil && !errors.Is(err, errDropped) && c.refusal == nil {
		c.refusal = err
	}
}

// lane is the bounded queue of one carrier in one SendAll.
type lane struct {
	news chan struct{} // of the whole SendAll
	wake chan struct{} // holds one token when there is something new

	mu     sync.Mutex
	queue  []Outgoing // guarded by mu
	closed bool       // guarded by mu; nothing more will come
	gone   bool       // guarded by mu; nobody sends any more
}

func (l *lane) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) < laneSize
}

// push queues a message. If there is no room, it drops what has waited too long, or the oldest.
func (l *lane) push(o Outgoing) {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		o.answer(errDropped)
		return
	}
	var dropped []Outgoing
	if len(l.queue) >= laneSize {
		dropped, l.queue = divide(l.queue, Outgoing.late)
	}
	if len(l.queue) >= laneSize {
		dropped, l.queue = append(dropped, l.queue[0]), l.queue[1:]
	}
	l.queue = append(l.queue, o)
	l.mu.Unlock()

	signal(l.wake)
	for _, d := range dropped {
		d.answer(errDropped)
	}
}

// divide returns the messages for which is returns true, and the others.
func divide(all []Outgoing, is func(Outgoing) bool) (some, others []Outgoing) {
	for _, o := range all {
		if is(o) {
			some = append(some, o)
		} else {
			others = append(others, o)
		}
	}
	return some, others
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	signal(l.wake)
}

// next removes the next message. closed reports that there is none and will be none.
func (l *lane) next() (o Outgoing, ok, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.queue) == 0 {
		return Outgoing{}, false, l.closed
	}
	o, l.queue = l.queue[0], l.queue[1:]
	signal(l.news)
	return o, true, false
}

// abandon drops what is queued, and all that follows: nobody sends it.
func (l *lane) abandon() {
	l.mu.Lock()
	dropped := l.queue
	l.queue, l.gone = nil, true
	l.mu.Unlock()
	for _, d := range dropped {
		d.answer(errDropped)
	}
}

// send sends what is queued on one carrier, until the lane is closed and all is answered, or ctx ends.
func (l *lane) send(ctx context.Context, on *Client, mb Mailbox, ttl time.Duration) {
	out := make(chan Outgoing)
	var feeding sync.WaitGroup
	feeding.Go(func() { l.feed(ctx, out) })
	defer l.abandon()
	defer feeding.Wait()
	err := on.SendAll(ctx, mb, out, ttl, func(error) {}) // each message tells by itself
	if err != nil {
		on.cfg.Logger.Debug("send messages", "err", err)
	}
}

// feed passes the queue on to a channel.
func (l *lane) feed(ctx context.Context, out chan<- Outgoing) {
	defer close(out)
	for {
		o, ok, closed := l.next()
		if closed {
			return
		}

		if !ok {
			select {
			case <-l.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case out <- o:
		case <-ctx.Done():
			return
		}
	}
}
