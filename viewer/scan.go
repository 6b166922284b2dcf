package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	// scanWait is how long a scanner tries, from its first word to the displayer's last.
	scanWait = 10 * time.Second

	// replyLife is how long the relay keeps a scanner's message.
	replyLife = 10 * time.Minute

	// maxTries is how many envelopes a scanner opens at once to find the camera's welcome; then it opens one a second.
	// Each costs an operation with a private key.
	maxTries = 16
)

// scan runs the scanner's end of a pairing until the camera's first sealed message has opened.
func scan(
	ctx context.Context,
	client *signaling.Client,
	scanner *pairing.Scanner,
	code pairing.Code,
) (*envelope.Pair, welcome, error) {
	toDisplayer, toScanner := code.Rendezvous()
	waiting, cancel := clock.WithTimeout(ctx, scanWait)
	defer cancel()
	s := &scanning{
		ctx:      waiting,
		client:   client,
		scanner:  scanner,
		code:     code,
		outbox:   signaling.Rendezvous(toDisplayer.Read, toDisplayer.Write),
		messages: make(chan signaling.Delivery, 16),
		welcomes: make(chan signaling.Delivery, 16),
		tries:    rate.NewLimiter(1, maxTries),
	}

	defer scanner.Forget()
	defer client.Keep(s.outbox)()

	// Nothing is acknowledged before the pair is made: an interrupted scanner may begin again.
	defer client.Receive(signaling.Rendezvous(toScanner.Read, toScanner.Write), func(d signaling.Delivery) bool {
		enqueue(s.messages, d)
		return false
	})()

	pair, hello, err := s.run()
	if s.stop != nil {
		s.stop()
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(waiting), context.DeadlineExceeded) {
		err = s.explainSilence()
	}

	return pair, hello, err
}

// enqueue queues a message and reports whether there was room. It drops the message if not: a relay that floods must
// not stop the goroutine that reads what it sends, which includes its answers to us.
func enqueue(to chan<- signaling.Delivery, d signaling.Delivery) bool {
	select {
	case to <- d:
		return true
	default:
		return false
	}
}

// scanning is one run of scan.
type scanning struct {
	ctx      context.Context
	client   *signaling.Client
	scanner  *pairing.Scanner
	code     pairing.Code
	outbox   signaling.Mailbox
	messages chan signaling.Delivery // from the rendezvous
	welcomes chan signaling.Delivery // from the pair's own mailbox

	pair   *envelope.Pair
	box    envelope.Mailbox
	tries  *rate.Limiter // limits how many envelopes are opened to find the welcome
	stop   func()        // closes the pair's own mailbox
	spoilt bool          // something arrived that was not the displayer's
}

func (s *scanning) run() (*envelope.Pair, welcome, error) {
	for {
		select {
		case <-s.ctx.Done():
			return nil, welcome{}, s.ctx.Err()
		case message := <-s.messages:
			if err := s.handleMessage(message); err != nil {
				return nil, welcome{}, err
			}
		case d := <-s.welcomes:
			opened, err := s.openWelcome(d.Body)
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

// openWelcome opens an envelope of the new pair. It is new whatever its date says, since the pair is a moment old; a
// camera whose clock was never set dates it 1970.
func (s *scanning) openWelcome(wire []byte) (envelope.Opened, error) {
	if err := s.pair.Addressed(s.box, wire); err != nil {
		return envelope.Opened{}, err
	}
	if !s.tries.Allow() {
		return envelope.Opened{}, envelope.ErrTooMany
	}

	opened, err := s.pair.Open(s.box, wire, time.Now())
	var expired *envelope.ExpiredError
	if errors.As(err, &expired) {
		return expired.Opened, nil
	}
	return opened, err
}

// explainSilence returns why nobody answers, as far as this end can know.
func (s *scanning) explainSilence() error {
	switch {
	case s.spoilt:
		return pairing.ErrInvalid
	case time.Now().After(s.code.Expiry):
		return pairing.ErrExpired
	}
	return pairing.ErrNobody
}

// handleMessage answers a message from the rendezvous.
func (s *scanning) handleMessage(d signaling.Delivery) error {
	reply, err := s.scanner.Handle(d.Body)
	if errors.Is(err, pairing.ErrInvalid) {
		if errors.Is(err, pairing.ErrStrange) {
			d.Reject()
		}
		s.spoilt = true // it is not the displayer's, whose message may still come
		return nil
	}

	if err != nil {
		return err
	}

	if s.pair == nil && s.scanner.Pair() != nil {
		s.awaitWelcome()
	}
	if reply == nil {
		return nil
	}

	err = s.client.Send(s.ctx, s.outbox, reply, replyLife)
	var refusal *signaling.Error
	if errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted {
		return pairing.ErrNobody
	}
	return err
}

// awaitWelcome opens the pair's own mailbox of today, where the camera's first sealed message will arrive.
func (s *scanning) awaitWelcome() {
	s.pair = s.scanner.Pair()
	today, _ := s.client.ServerTime()
	s.box = s.pair.Mailbox(envelope.ToViewer, s.pair.Day(today))
	inbox := signaling.Mailbox{Read: s.box.Read, Write: s.box.Write}
	s.stop = s.client.Receive(inbox, func(d signaling.Delivery) bool { return enqueue(s.welcomes, d) })
}

// welcome is the body of the first envelope of a pair.
type welcome struct {
	Name   string             `json:"name"`
	Relays *session.RelayList `json:"relays"`
}

func parseWelcome(body []byte) (welcome, error) {
	var w welcome
	if err := json.Unmarshal(body, &w); err != nil {
		return welcome{}, fmt.Errorf("parse welcome: %w", pairing.ErrInvalid)
	}
	w.Name = printable.Name(w.Name)
	return w, nil
}
