package viewer

import (
	"context"
	"errors"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
)

// scanWait is how long a scanner waits for the displayer's next word.
const scanWait = 10 * time.Second

// scan runs the scanner's end of a pairing until the camera's first sealed message has opened.
func scan(ctx context.Context, client *signaling.Client, scanner *pairing.Scanner, code pairing.Code) (*envelope.Pair, welcome, error) {
	toDisplayer, toScanner := code.Rendezvous()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scanning{ctx: ctx, client: client, scanner: scanner, code: code, outbox: rendezvous(toDisplayer),
		messages: make(chan []byte, 16), welcomes: make(chan []byte, 16)}
	defer client.Keep(s.outbox)()
	// Nothing is acked before the pair is made: an interrupted scanner may begin again.
	defer client.Receive(rendezvous(toScanner), func(body []byte) bool { s.messages <- body; return false })()
	return s.run()
}

type scanning struct {
	ctx      context.Context
	client   *signaling.Client
	scanner  *pairing.Scanner
	code     pairing.Code
	outbox   signaling.Mailbox
	messages chan []byte // from the rendezvous
	welcomes chan []byte // from the pair's own mailbox
	pair     *envelope.Pair
	box      envelope.Mailbox
	spoilt   bool // something arrived that was not the displayer's
}

func (s *scanning) run() (*envelope.Pair, welcome, error) {
	patience := time.NewTimer(scanWait)
	defer patience.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return nil, welcome{}, s.ctx.Err()
		case <-patience.C:
			return nil, welcome{}, s.silence()
		case message := <-s.messages:
			if err := s.handle(message); err != nil {
				return nil, welcome{}, err
			}
		case wire := <-s.welcomes:
			opened, err := s.pair.Open(s.box, wire, time.Now())
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

func (s *scanning) handle(message []byte) error {
	reply, err := s.scanner.Handle(message)
	if errors.Is(err, pairing.ErrInvalid) {
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
	s.client.Receive(signaling.Mailbox{Read: s.box.Read, Write: s.box.Write}, func(body []byte) bool { s.welcomes <- body; return true })
}

func rendezvous(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: []byte(signaling.PairingTicket)}
}
