package signaling

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sendWindow is how many messages of one SendAll may be without an answer at a time: more than a session has to say in a round trip.
const sendWindow = 32

// Outgoing is a message on its way to a mailbox.
type Outgoing struct {
	Body  []byte
	Until time.Time // what has not left by then is dropped; zero: never
}

// posted is a message that the relay has not answered yet.
type posted struct {
	Outgoing
	answer <-chan answer
}

// SendAll posts what comes through queue to mb, in that order, each to be kept for ttl, and does not wait for the relay's word on one before
// it posts the next: that would cost a round trip each. What a lost connection left without an answer is posted again on the next, in the same
// order, so the relay may have it twice. refused is told of each message that the relay does not take (*Error), or that cannot be sent. SendAll
// returns nil once queue is closed and everything was answered, or the reason why ctx ended.
func (c *Client) SendAll(ctx context.Context, mb Mailbox, queue <-chan Outgoing, ttl time.Duration, refused func(error)) error {
	defer c.Keep(mb)()
	s := sending{to: mb.Name(), ttl: ttl, queue: queue, refused: refused}
	for {
		l, err := c.linked(ctx)
		if err != nil {
			return fmt.Errorf("send messages: %w", err)
		}
		if err = s.over(ctx, l); !errors.Is(err, errLinkLost) {
			return err
		}
	}
}

// sending is one SendAll. Its fields are its goroutine's.
type sending struct {
	to      Name
	ttl     time.Duration
	queue   <-chan Outgoing
	refused func(error)
	waiting []posted // oldest first
}

// over sends by one connection: first what the one before left.
func (s *sending) over(ctx context.Context, l *link) error {
	left := s.waiting
	s.waiting = nil
	for _, p := range left {
		s.post(l, p.Outgoing)
	}
	for s.queue != nil || len(s.waiting) > 0 {
		queue := s.queue
		if len(s.waiting) >= sendWindow {
			queue = nil
		}
		var oldest <-chan answer
		if len(s.waiting) > 0 {
			oldest = s.waiting[0].answer
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case o, ok := <-queue:
			if ok {
				s.post(l, o)
			} else {
				s.queue = nil
			}
		case a := <-oldest:
			if errors.Is(a.err, errLinkLost) {
				return errLinkLost
			}
			s.waiting = s.waiting[1:]
			if a.err != nil {
				s.refused(fmt.Errorf("send message: %w", l.because(s.to, a.err)))
			}
		}
	}
	return nil
}

func (s *sending) post(l *link, o Outgoing) {
	if err := checkBody(o.Body); err != nil {
		s.refused(err)
	} else if o.Until.IsZero() || time.Now().Before(o.Until) {
		_, got := l.ask(func(id uint32) Frame { return newPost(id, s.to, s.ttl, o.Body) })
		s.waiting = append(s.waiting, posted{o, got})
	}
}

func checkBody(body []byte) error {
	if len(body) == 0 || len(body) > MaxBody {
		return fmt.Errorf("send message: %d bytes, at most %d", len(body), MaxBody)
	}
	return nil
}

func newPost(id uint32, to Name, ttl time.Duration, body []byte) Post {
	return Post{ID: id, Name: to, TTL: uint32(min(ttl/time.Second, MaxTTL)), Body: body}
}
