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
func (c *Carriers) SendAll(
	ctx context.Context, mb Mailbox, queue <-chan Outgoing, ttl time.Duration, refused func(error),
) error {
	s := &sendOnAll{carriers: c, news: make(chan struct{}, 1), lanes: make(map[int]*lane)}
	for i, on := range c.list {
		if _, ok := on.mailbox(mb); ok {
			s.lanes[i] = &lane{news: s.news, wake: make(chan struct{}, 1)}
		}
	}

	w := c.newWork(ctx, len(s.lanes))
	for i, l := range s.lanes {
		c.running[i].Go(func() {
			opened, _ := c.list[i].mailbox(mb)
			w.end(i, l.send(w.ctx, c.list[i].Client, opened, ttl))
		})
	}

	err := s.run(ctx, queue, refused)
	for _, l := range s.lanes {
		l.close()
	}
	if err == nil {
		w.goOn(max(ttl, minCarrierLife))
	}
	return err
}

// sendOnAll is the state of one SendAll. Its goroutine owns it.
type sendOnAll struct {
	carriers *Carriers
	lanes    map[int]*lane // by carrier
	news     chan struct{} // holds one token when a lane has room, or a message an answer
	open     []*copies     // messages that nobody has accepted yet, oldest first
}

// run hands messages to the lanes until all have an answer.
func (s *sendOnAll) run(ctx context.Context, queue <-chan Outgoing, refused func(error)) error {
	var grace <-chan time.Time // set while a refusal waits
	for queue != nil || len(s.open) > 0 {
		from := queue
		if !s.hasRoom() {
			from = nil
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("send messages: %w", ctx.Err())
		case <-s.carriers.closed.Done():
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

// hasRoom reports whether a carrier that is connected has room, or any if none is connected.
func (s *sendOnAll) hasRoom() bool {
	connected, room := false, false
	for i, l := range s.lanes {
		if !s.carriers.list[i].Client.Connected() {
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
	m := &copies{pending: make(map[int]bool)}
	for i := range s.lanes {
		m.pending[i] = true
	}
	s.open = append(s.open, m)
	for i, l := range s.lanes {
		o.answered = func(err error) { m.resolve(i, err); signal(s.news) }
		l.push(o)
	}
}

// judge forgets the messages that have their answer. After the grace, carriers that are not connected do not count. It
// reports whether a refusal waits for the grace.
func (s *sendOnAll) judge(refused func(error), graceOver bool) (waits bool) {
	s.open = slices.DeleteFunc(s.open, func(m *copies) bool {
		m.mu.Lock()
		defer m.mu.Unlock()

		over := len(m.pending) == 0 || graceOver && m.refusal != nil && !s.carriers.anyConnected(m.pending)
		switch {
		case m.accepted:
			return true
		case over && m.refusal != nil:
			refused(m.refusal)
		case m.refusal != nil:
			waits = true
		}
		return over
	})
	return waits
}

// copies are the copies of one message in the lanes.
type copies struct {
	mu       sync.Mutex
	pending  map[int]bool // guarded by mu; the carriers without an answer
	accepted bool         // guarded by mu
	refusal  error        // guarded by mu; the first
}

// resolve notes how it went on one carrier.
func (m *copies) resolve(carrier int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.pending, carrier)
	m.accepted = m.accepted || err == nil
	if err != nil && !errors.Is(err, errDropped) && m.refusal == nil {
		m.refusal = err
	}
}

// lane is the bounded queue of one carrier in one SendAll.
type lane struct {
	news chan struct{} // of the whole SendAll
	wake chan struct{} // holds one token when there is something new

	mu     sync.Mutex
	queue  []Outgoing // guarded by mu
	closed bool       // guarded by mu; nothing more will come
}

func (l *lane) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) < laneSize
}

// push queues a message. If there is no room, it drops what has waited too long, or the oldest.
func (l *lane) push(o Outgoing) {
	l.mu.Lock()
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

// send sends what is queued on one carrier, until the lane is closed and all is answered, or ctx ends.
func (l *lane) send(ctx context.Context, on *Client, mb Mailbox, ttl time.Duration) error {
	out := make(chan Outgoing)
	var feeding sync.WaitGroup
	feeding.Go(func() { l.feed(ctx, out) })
	defer feeding.Wait()
	return on.SendAll(ctx, mb, out, ttl, func(error) {}) // each message tells by itself
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
