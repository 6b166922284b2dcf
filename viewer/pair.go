package viewer

import (
	"context"
	"errors"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
)

// scanWait is how long a scanner tries, from its first word to the displayer's last.
const scanWait = 10 * time.Second

// scan runs the scanner's end of a pairing until the camera's first sealed message has opened.
func scan(ctx context.Context, client *signaling.Client, scanner *pairing.Scanner, code pairing.Code) (*envelope.Pair, welcome, error) {
	toDisplayer, toScanner := code.Rendezvous()
	waiting, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	s := &scanning{ctx: waiting, client: client, scanner: scanner, code: code, outbox: rendezvous(toDisplayer),
		messages: make(chan signaling.Delivery, 16), welcomes: make(chan signaling.Delivery, 16)}
	defer scanner.Forget()
	defer client.Keep(s.outbox)()
	// Nothing is acked before the pair is made: an interrupted scanner may begin again.
	defer client.Receive(rendezvous(toScanner), func(d signaling.Delivery) bool { queue(s.messages, d); return false })()
	pair, hello, err := s.run()
	if s.stop != nil {
		s.stop()
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = s.silence()
	}
	return pair, hello, err
}

// queue drops a message when to is full: a relay that floods must not stop the goroutine that reads what it sends, its word about our
// own messages too. It says whether the message was taken.
func queue(to chan<- signaling.Delivery, d signaling.Delivery) bool {
	select {
	case to <- d:
		return true
	default:
		return false
	}
}

type scanning struct {
	ctx      context.Context
	client   *signaling.Client
	scanner  *pairing.Scanner
	code     pairing.Code
	outbox   signaling.Mailbox
	messages chan signaling.Delivery // from the rendezvous
	welcomes chan signaling.Delivery // from the pair's own mailbox
	pair     *envelope.Pair
	box      envelope.Mailbox
	stop     func() // gives up the pair's own mailbox
	spoilt   bool   // something arrived that was not the displayer's
}

func (s *scanning) run() (*envelope.Pair, welcome, error) {
	for {
		select {
		case <-s.ctx.Done():
			return nil, welcome{}, s.ctx.Err()
		case message := <-s.messages:
			if err := s.handle(message); err != nil {
				return nil, welcome{}, err
			}
		case d := <-s.welcomes:
			opened, err := s.pair.Open(s.box, d.Body, time.Now())
			if envelope.Foreign(err) {
				d.Reject()
			}
			if err != nil || opened.Type != envelope.TypeWelcome {
				s.spoilt = true
				continue
			}
			w, err := parseWelcome(opened.Body)
			return s.pair, w, err
		}
	}
}

// silence is why nobody answers, as far as this end can know.
func (s *scanning) silence() error {
	switch {
	case s.spoilt:
		return pairing.ErrInvalid
	case time.Now().After(s.code.Expiry):
		return pairing.ErrExpired
	}
	return pairing.ErrNobody
}

func (s *scanning) handle(d signaling.Delivery) error {
	reply, err := s.scanner.Handle(d.Body)
	if errors.Is(err, pairing.ErrInvalid) {
		if errors.Is(err, pairing.ErrStrange) {
			d.Reject()
		}
		s.spoilt = true // not the displayer's: wait for what is
		return nil
	}
	if err != nil {
		return err
	}
	if s.pair == nil && s.scanner.Pair() != nil {
		s.await()
	}
	if reply == nil {
		return nil
	}
	err = s.client.Send(s.ctx, s.outbox, reply, 10*time.Minute)
	var refusal *signaling.Error
	if errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted {
		return pairing.ErrNobody
	}
	return err
}

// await opens the pair's own mailbox of today, where the first sealed message will come.
func (s *scanning) await() {
	s.pair = s.scanner.Pair()
	today, _ := s.client.ServerTime()
	s.box = s.pair.Mailbox(envelope.ToViewer, s.pair.Day(today))
	s.stop = s.client.Receive(signaling.Mailbox{Read: s.box.Read, Write: s.box.Write}, func(d signaling.Delivery) bool { return queue(s.welcomes, d) })
}

func rendezvous(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: []byte(signaling.PairingTicket)}
}
