package signaling

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sendWindow bounds the messages of one SendAll that wait for an answer. It is more than a session has to send in a
// round trip.
const sendWindow = 32

// Outgoing is a message on its way to a mailbox.
type Outgoing struct {
	Body  []byte
	Until time.Time // it is dropped if it has not been sent by then; zero means never

	answered func(error) // called once it is sent, refused or dropped; nil if nobody asks
}

// errDropped is why a message was not sent that has waited for too long.
var errDropped = errors.New("waited too long")

// answer tells who asks how it went.
func (o Outgoing) answer(err error) {
	if o.answered != nil {
		o.answered(err)
	}
}

// late reports whether the message must be dropped.
func (o Outgoing) late() bool { return !o.Until.IsZero() && !time.Now().Before(o.Until) }

// postedMessage is a message that the relay has not answered yet.
type postedMessage struct {
	Outgoing
	answered <-chan answer
}

// SendAll posts the messages from queue to mb, in order. The relay keeps each for ttl. To save a round trip for each
// message, SendAll does not wait for one answer before it posts the next message. If a connection is lost, SendAll
// posts the messages that were not answered again on the next one, in the same order, so the relay may get them twice.
// SendAll calls refused for each message that cannot be sent, or that the relay refuses (*Error). It returns nil once
// queue is closed and everything has been answered, or an error when ctx ends.
func (c *Client) SendAll(
	ctx context.Context, mb Mailbox, queue <-chan Outgoing, ttl time.Duration, refused func(error),
) error {
	defer c.Keep(mb)()
	s := sendAll{to: mb.Name(), ttl: ttl, queue: queue, refused: refused}
	for {
		l, err := c.waitForLink(ctx)
		if err != nil {
			return fmt.Errorf("send messages: %w", err)
		}
		if err = s.sendOver(ctx, l); !errors.Is(err, errLinkLost) {
			return err
		}
	}
}

// sendAll is the state of one SendAll. Its goroutine owns it.
type sendAll struct {
	to      Name
	ttl     time.Duration
	queue   <-chan Outgoing // nil once it is closed
	refused func(error)
	waiting []postedMessage // oldest first
}

// sendOver sends over one connection, beginning with the messages that were not answered on the last one.
func (s *sendAll) sendOver(ctx context.Context, l *link) error {
	unanswered := s.waiting
	s.waiting = nil
	for _, p := range unanswered {
		s.post(l, p.Outgoing)
	}

	for s.queue != nil || len(s.waiting) > 0 {
		queue := s.queue
		if len(s.waiting) >= sendWindow {
			queue = nil
		}
		var oldest <-chan answer
		if len(s.waiting) > 0 {
			oldest = s.waiting[0].answered
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
			s.resolve(l, a)
		}
	}
	return nil
}

// resolve notes the answer to the oldest message.
func (s *sendAll) resolve(l *link, a answer) {
	oldest := s.waiting[0]
	s.waiting = s.waiting[1:]
	if a.err != nil {
		a.err = fmt.Errorf("send message: %w", l.rootCause(s.to, a.err))
		s.refused(a.err)
	}
	oldest.answer(a.err)
}

func (s *sendAll) post(l *link, o Outgoing) {
	if err := checkBody(o.Body); err != nil {
		s.refused(err)
		o.answer(err)
		return
	}
	if o.late() {
		o.answer(errDropped)
		return
	}

	_, answered := l.startRequest(func(id uint32) Frame { return newPost(id, s.to, s.ttl, o.Body) })
	s.waiting = append(s.waiting, postedMessage{o, answered})
}
