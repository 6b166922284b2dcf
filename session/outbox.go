package session

import (
	"context"
	"log/slog"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/signaling"
)

// outboxSize bounds the messages that wait while the relay is away. It leaves room for all candidates of a session.
const outboxSize = 64

// byeWait is how long the end of a session waits for the relay to accept the bye.
const byeWait = time.Second

// outbox posts one end's messages to the session mailbox, in the order in which they were sealed, while the session
// goes on. A relay that is away does not end a session whose media flows; messages that wait too long are dropped.
type outbox struct {
	signal Signal
	to     signaling.Mailbox
	queue  chan signaling.Outgoing
	done   chan struct{} // closed when posting has ended
	stop   context.CancelFunc
	log    *slog.Logger
}

func newOutbox(s Signal, to signaling.Mailbox, log *slog.Logger) *outbox {
	return &outbox{
		signal: s,
		to:     to,
		queue:  make(chan signaling.Outgoing, outboxSize),
		done:   make(chan struct{}),
		log:    log,
	}
}

// post queues a message. A full queue drops it.
func (o *outbox) post(wire []byte) {
	select {
	case o.queue <- signaling.Outgoing{Body: wire, Until: time.Now().Add(messageTTL)}:
	default:
		o.log.Debug("outbox full: message dropped")
	}
}

// open starts posting. close ends it.
func (o *outbox) open(ctx context.Context) {
	ctx, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(o.done)
		err := o.signal.SendAll(ctx, o.to, o.queue, messageTTL, func(refusal error) {
			o.log.Debug("post session message", "err", refusal)
		})
		if err != nil {
			o.log.Debug("post session messages", "err", err)
		}
	}()
}

// close stops posting and waits until it has stopped. If there is a last message, close first gives the relay byeWait
// to accept it.
func (o *outbox) close(last []byte) {
	if last != nil {
		o.post(last)
		close(o.queue)
		timer := time.NewTimer(byeWait)
		defer timer.Stop()
		select {
		case <-o.done:
		case <-timer.C:
		}
	}

	o.stop()
	<-o.done
}

// mailbox returns the part of an envelope's mailbox that signaling sees: only its keys.
func mailbox(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write}
}

// admitted returns a mailbox with the camera's ticket.
func admitted(m envelope.Mailbox, ticket []byte) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: ticket}
}

const messageTTL = 30 * time.Second
