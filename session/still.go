package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/signaling"
)

// A still is one picture that travels through signaling alone, sealed like a frame of a session: for a list of cameras, and
// where no media path is to be had. Both ends agree on a session secret as for a session, and the camera posts its current
// keyframe in chunks behind the answer (doc/protocol.md, section 6.1).

const (
	chunkType   = 2 // records begin with recordVersion
	chunkBytes  = 32000
	maxChunks   = 28 // with the answer below a mailbox' megabyte
	firstChunks = 2  // of the picture behind an answer, which must not hold up the candidates behind it
	stillWait   = 5 * time.Second
)

var (
	// ErrStill is returned for chunks that are no still.
	ErrStill = errors.New("malformed still")
	// ErrNoPicture is returned by a camera that has no keyframe to send.
	ErrNoPicture = errors.New("the camera has no picture now")
	// ErrStillSize is returned by a camera whose keyframe is larger than a relay's mailbox takes.
	ErrStillSize = errors.New("the picture is too large for a still: watch instead")
)

// sendStill answers the offer of a still. It asks the stream first: there is no answer without a picture.
func (c *Camera) sendStill(ctx context.Context) error {
	looking, cancel := context.WithTimeout(ctx, stillWait)
	defer cancel()
	subscription := c.cfg.Stream.Subscribe()
	unit, err := subscription.Next(looking)
	subscription.Close()
	if err != nil {
		return c.refuseStill(ctx, errors.Join(ErrNoPicture, err))
	}
	if len(unit.Data) > maxChunks*chunkBytes-1024 {
		return c.refuseStill(ctx, ErrStillSize)
	}
	wire, secret, err := reply(c.cfg, c.offer, answer{})
	if err != nil {
		return err
	}
	pieces, err := sealStill(secret, appendFrame(nil, unit, answerOf(unit, challenge(c.offer.Challenge))))
	if err != nil {
		return err
	}
	queue := make(chan signaling.Outgoing, 1+len(pieces))
	for _, body := range append([][]byte{wire}, pieces...) {
		queue <- signaling.Outgoing{Body: body}
	}
	close(queue)
	sending, stop := context.WithTimeout(ctx, messageTTL)
	defer stop()
	var refused error
	err = c.cfg.Signal.SendAll(sending, admitted(c.out, c.cfg.Ticket), queue, messageTTL, func(refusal error) { refused = errors.Join(refused, refusal) })
	if err = errors.Join(err, refused); err != nil {
		return fmt.Errorf("send still: %w", err)
	}
	return nil
}

// postFirst posts the current keyframe behind the answer of a connection, if there is one that is live and small: the person sees a
// picture after one round trip, while the connection takes several more.
func (c *Camera) postFirst(s *secret) error {
	subscription := c.cfg.Stream.Subscribe()
	defer subscription.Close()
	unit, ok := subscription.Waiting()
	if !ok || len(unit.Data) > firstChunks*chunkBytes-frameHeaderSize || time.Since(unit.Captured) > LiveFor {
		return nil
	}
	pieces, err := sealStill(s, appendFrame(nil, unit, challenge(c.offer.Challenge)))
	if err != nil {
		return err
	}
	for _, p := range pieces {
		c.outbox.post(p)
	}
	return nil
}

func (c *Camera) refuseStill(ctx context.Context, why error) error {
	text := "The camera has no picture now. " + c.cfg.Stream.State().String()
	if errors.Is(why, ErrStillSize) {
		text = "The picture is too large for a still: watch instead."
	}
	return errors.Join(why, Refuse(ctx, c.cfg, Refusal{Code: "no_still", Text: text}))
}

// sealStill cuts a frame's plaintext into chunks, each an SFrame ciphertext whose CTR is its place, so that whatever else is
// delivered among them is refused by itself and spoils nothing.
func sealStill(s *secret, plaintext []byte) (bodies [][]byte, err error) {
	sealer, err := sframe.NewSender(s.cameraBaseKey(stillTrack), kid(identity.Camera, stillTrack))
	if err != nil {
		return nil, fmt.Errorf("make still sender: %w", err)
	}
	n := (len(plaintext) + chunkBytes - 1) / chunkBytes
	for i := range n {
		chunk := binary.BigEndian.AppendUint16(nil, uint16(n))
		chunk = append(chunk, plaintext[i*chunkBytes:min((i+1)*chunkBytes, len(plaintext))]...)
		body, err := sealer.Seal([]byte{chunkType}, s.binding(stillTrack), chunk)
		if err != nil {
			return nil, fmt.Errorf("seal still: %w", err)
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// assembly opens the chunks of one still and puts them together.
type assembly struct {
	receiver *sframe.Receiver
	binding  []byte
	pieces   [][]byte
	missing  int
}

func newAssembly(s *secret) (*assembly, error) {
	receiver, err := sframe.NewReceiver(s.cameraBaseKey(stillTrack), kid(identity.Camera, stillTrack))
	if err != nil {
		return nil, fmt.Errorf("make still receiver: %w", err)
	}
	return &assembly{receiver: receiver, binding: s.binding(stillTrack)}, nil
}

// add opens a chunk and returns the frame's plaintext when it is whole.
func (a *assembly) add(body []byte) (plaintext []byte, err error) {
	if len(body) == 0 || body[0] != chunkType {
		return nil, ErrStill
	}
	chunk, place, err := a.receiver.Open(nil, a.binding, body[1:])
	if err != nil {
		return nil, err
	}
	if len(chunk) <= 2 || len(chunk) > 2+chunkBytes {
		return nil, ErrStill
	}
	n := int(binary.BigEndian.Uint16(chunk))
	if a.pieces == nil && n > 0 && n <= maxChunks {
		a.pieces, a.missing = make([][]byte, n), n
	}
	if n != len(a.pieces) || place >= uint64(n) {
		return nil, ErrStill
	}
	a.pieces[place] = chunk[2:]
	if a.missing--; a.missing > 0 {
		return nil, nil
	}
	return bytes.Join(a.pieces, nil), nil
}

// StillConfig is what a viewer needs to ask for a still.
type StillConfig struct {
	Pair     *envelope.Pair
	Signal   Signal
	Inbox    signaling.Mailbox // the camera's mailbox of today
	Box      envelope.Mailbox  // the same, as the envelope's context
	Agent    string
	OnName   func(name string)
	OnReject func(Rejection)
}

// still is one request under way. Its fields are the asking goroutine's.
type still struct {
	cfg       StillConfig
	handshake *handshake
	fresh     freshness
	arrivals  arrivals
	assembly  *assembly // nil until the answer has opened
}

// Still asks a camera for one picture. What arrives and does not open is told to OnReject, and the wait goes on for ten seconds.
// Errors: ErrNoAnswer, ErrSilent, *Refusal, ctx's own.
func Still(ctx context.Context, cfg StillConfig) (Frame, error) {
	h, err := newHandshake(cfg.Pair)
	if err != nil {
		return Frame{}, err
	}
	s := &still{cfg: cfg, handshake: h, arrivals: arrivals{follows: mayBeChunk}}
	now := time.Now()
	first := s.fresh.issue(now)
	if err := h.seal(cfg.Box, offer{Still: true, Challenge: first[:], Agent: cfg.Agent}, now); err != nil {
		return Frame{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	arrived := make(chan signaling.Delivery, maxChunks+4)
	defer cfg.Signal.Receive(mailbox(h.in), func(d signaling.Delivery) bool {
		select {
		case arrived <- d:
			return true
		default: // more than a still has: it comes again, or is not ours
			return false
		}
	})()
	if err := cfg.Signal.Send(waiting, cfg.Inbox, h.wire, offerLife); err != nil {
		return Frame{}, s.silence(ctx, ErrSilent, fmt.Errorf("send offer: %w", err))
	}
	for {
		select {
		case <-waiting.Done():
			return Frame{}, s.silence(ctx, ErrNoAnswer, waiting.Err())
		case d := <-arrived:
			frame, err := s.take(d)
			if err != nil {
				return Frame{}, err
			}
			if frame != nil {
				return *frame, nil
			}
		}
	}
}

// silence is what to say when the time was up.
func (s *still) silence(ctx context.Context, sentinel, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return sentinel
	}
	return err
}

// take opens one message, and returns the frame when the still is whole.
func (s *still) take(d signaling.Delivery) (*Frame, error) {
	switch {
	case s.arrivals.again(d):
		return nil, nil
	case s.assembly == nil:
		return s.takeAnswer(d)
	}
	plaintext, err := s.assembly.add(d.Body)
	if err != nil {
		if !s.handshake.answers(d.Body) {
			s.reject(d, "frame", err)
		}
		return nil, nil
	}
	if s.arrivals.opened(d); plaintext == nil {
		return nil, nil
	}
	return parseStill(plaintext, &s.fresh)
}

// parseStill reads the plaintext of a still.
func parseStill(plaintext []byte, fresh *freshness) (*Frame, error) {
	frame, c, err := parseFrame(plaintext)
	if err != nil {
		return nil, err
	}
	frame.Still = true
	fresh.judge(&frame, c, time.Now())
	return &frame, nil
}

// takeAnswer opens the answer, and then what came before it.
func (s *still) takeAnswer(d signaling.Delivery) (*Frame, error) {
	a, err := s.handshake.open(d.Body, time.Now())
	if errors.As(err, new(errForeign)) {
		if !s.arrivals.hold(d) {
			s.reject(d, "envelope", err)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	agreed, err := s.handshake.secret(a, d.Body)
	if err != nil {
		return nil, err
	}
	if s.cfg.OnName != nil {
		s.cfg.OnName(Printable(a.Name))
	}
	if s.assembly, err = newAssembly(agreed); err != nil {
		return nil, err
	}
	s.arrivals.opened(d)
	for _, held := range s.arrivals.release() {
		if frame, err := s.take(held); frame != nil || err != nil {
			return frame, err
		}
	}
	return nil, nil
}

func (s *still) reject(d signaling.Delivery, what string, err error) {
	if foreign(err) {
		d.Reject()
	}
	if s.cfg.OnReject != nil {
		s.cfg.OnReject(Rejection{what, err})
	}
}
