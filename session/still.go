package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
)

// A still is one picture that travels through signaling alone, sealed like a frame of a session. It serves a list of
// cameras, and networks on which there is no path for media. Both ends agree on a session secret as for a session, and
// the camera posts its current picture in chunks behind the answer (doc/protocol.md, section 6.1).

// StillConfig is what a viewer needs to ask for a still.
type StillConfig struct {
	Pair     *envelope.Pair
	Signal   Signal
	Inbox    signaling.Mailbox // the camera's mailbox of today
	Box      envelope.Mailbox  // the same, as the envelope's context
	Agent    string
	Nonce    []byte           // from the camera's refusal of an earlier offer; nil if there was none
	Now      func() time.Time // dates and judges envelopes; nil means time.Now
	Clock    *clock.Clock     // measures the age of the picture; nil means this machine's
	OnName   func(name string)
	OnReject func(Rejection)

	// as in a ViewerConfig
	HostVersion  []byte
	OnHostList   func(HostList)
	RelayVersion []byte
	OnRelayList  func(RelayList)
	OnReply      func(carrier string)
}

// still is one request under way. The goroutine that called Still owns it.
type still struct {
	cfg      StillConfig
	offerer  *handshake.Offerer
	fresh    *handshake.Freshness
	inbox    *handshake.Inbox
	assembly *handshake.StillAssembly // nil until the answer has opened
}

// maxStillWaiting bounds the messages that wait while the offer is posted: an answer and its chunks, four times, since
// each of several carriers may bring a copy.
const maxStillWaiting = 4 * (1 + handshake.MaxChunks)

// Still asks a camera for one picture and waits for at most ten seconds. If something arrives that does not open, it
// calls OnReject and goes on waiting. Errors: ErrNoAnswer, ErrSilent, *Refusal, ctx's own.
func Still(ctx context.Context, cfg StillConfig) (handshake.Frame, error) {
	h, err := handshake.NewOfferer(cfg.Pair, cfg.Now)
	if err != nil {
		return handshake.Frame{}, err
	}
	s := &still{
		cfg:     cfg,
		offerer: h,
		fresh:   handshake.NewFreshness(cfg.Clock),
		inbox:   handshake.NewStillInbox(cfg.OnReply),
	}
	first := s.fresh.Issue()

	wire, err := h.SealOffer(cfg.Box, handshake.Offer{
		Still:     true,
		Challenge: first[:],
		Nonce:     cfg.Nonce,
		LAN:       cfg.HostVersion,
		Relays:    cfg.RelayVersion,
		Agent:     cfg.Agent,
	})
	if err != nil {
		return handshake.Frame{}, err
	}

	waiting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	arrived := make(chan signaling.Delivery, maxStillWaiting)
	defer cfg.Signal.Receive(mailbox(h.InMailbox()), func(d signaling.Delivery) bool {
		select {
		case arrived <- d:
			return true
		default: // more messages than a still can have: this one will come again, or is not ours
			return false
		}
	})()

	if err := cfg.Signal.Send(waiting, cfg.Inbox, wire, handshake.OfferLife); err != nil {
		return handshake.Frame{}, s.silence(ctx, ErrSilent, fmt.Errorf("send offer: %w", err))
	}
	for {
		select {
		case <-waiting.Done():
			return handshake.Frame{}, s.silence(ctx, ErrNoAnswer, waiting.Err())
		case d := <-arrived:
			frame, err := s.deliver(d)
			if err != nil {
				return handshake.Frame{}, err
			}
			if frame != nil {
				return *frame, nil
			}
		}
	}
}

// silence returns the error to report for err: sentinel if the time is up, or ctx's own.
func (s *still) silence(ctx context.Context, sentinel, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return sentinel
	}
	return err
}

// deliver opens one message, and returns the frame when the still is whole.
func (s *still) deliver(d signaling.Delivery) (*handshake.Frame, error) {
	switch {
	case s.inbox.OpenedBefore(d):
		return nil, nil
	case s.assembly == nil:
		return s.openAnswer(d)
	}

	plaintext, err := s.assembly.AddChunk(d.Body)
	if err != nil {
		if !s.inbox.IsReply(s.offerer, d) {
			rejectDelivery(d, "frame", err, s.cfg.OnReject)
		}
		return nil, nil
	}

	if s.inbox.NoteOpened(d); plaintext == nil {
		return nil, nil
	}
	return handshake.ParseStill(plaintext, s.fresh)
}

// openAnswer opens the answer, and then the messages that arrived before it.
func (s *still) openAnswer(d signaling.Delivery) (*handshake.Frame, error) {
	a, secret, err := s.inbox.OpenReply(s.offerer, d)
	if errors.As(err, new(handshake.NotReplyError)) {
		rejectDelivery(d, "envelope", err, s.cfg.OnReject)
		return nil, nil
	}
	if err != nil || a == nil {
		return nil, err
	}

	introduce(a, s.cfg.OnName, s.cfg.OnHostList, s.cfg.OnRelayList)
	if s.assembly, err = secret.NewStillAssembly(handshake.MaxChunks); err != nil {
		return nil, err
	}

	for _, held := range s.inbox.Release() {
		if frame, err := s.deliver(held); frame != nil || err != nil {
			return frame, err
		}
	}

	return nil, nil
}
