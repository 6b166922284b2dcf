package handshake

import (
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// OfferLife is how long an offer or a reply is valid.
const OfferLife = 60 * time.Second

// Offerer is the viewer's end of the agreement on a session secret: one offer, one answer (doc/protocol.md, section 6).
type Offerer struct {
	pair   *envelope.Pair
	now    func() time.Time
	id     envelope.SessionID
	kem    hpke.PrivateKey
	random Blob
	in     envelope.Mailbox // where the answer arrives
	tries  *rate.Limiter    // limits how many messages it tries to open as the answer

	described bool            // the offer describes a connection
	wire      []byte          // the offer as it is posted
	export    envelope.Secret // the offer's part of the session secret
}

// NewOfferer makes the keys of a session. now dates and judges its envelopes; nil means time.Now.
func NewOfferer(pair *envelope.Pair, now func() time.Time) (*Offerer, error) {
	if now == nil {
		now = time.Now
	}
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make session key: %w", err)
	}

	h := &Offerer{
		pair:   pair,
		now:    now,
		kem:    kem,
		random: randomBytes(32),
		tries:  rate.NewLimiter(1, maxTries),
	}
	copy(h.id[:], randomBytes(len(h.id)))
	h.in = pair.SessionMailbox(envelope.ToViewer, h.id)
	return h, nil
}

// OutMailbox returns the mailbox to which this end posts the session's records.
func (h *Offerer) OutMailbox() envelope.Mailbox {
	return h.pair.SessionMailbox(envelope.ToCamera, h.id)
}

// InMailbox returns the mailbox in which the answer arrives, and after it the camera's records.
func (h *Offerer) InMailbox() envelope.Mailbox { return h.in }

// SealOffer puts the session's own keys into o and seals it for the camera's mailbox. It returns the bytes to post.
func (h *Offerer) SealOffer(box envelope.Mailbox, o Offer) ([]byte, error) {
	o.KEM, o.Random = h.kem.PublicKey().Bytes(), h.random
	body, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode offer: %w", err)
	}

	now := h.now()
	sealed, err := h.pair.Seal(box, envelope.Message{
		Session: h.id,
		Type:    envelope.TypeOffer,
		Sent:    now,
		Expiry:  now.Add(OfferLife),
		Body:    body,
	})
	if err != nil {
		return nil, fmt.Errorf("seal offer: %w", err)
	}

	h.described, h.wire, h.export = o.described(), sealed.Wire, sealed.SessionExport
	return h.wire, nil
}

// maxTries is how many envelopes a session tries to open as the camera's answer, in addition to one each second. There
// is one answer, and another whenever the camera restarts. But anyone who has seen an answer can copy its tag, and each
// try costs an operation with a private key.
const maxTries = 16

// NotReplyError wraps the reason why a message is not the camera's reply to this offer. The caller counts and reports
// it, and goes on waiting for the reply.
type NotReplyError struct{ error }

func (e NotReplyError) Unwrap() error { return e.error }

// openReply opens the camera's reply and makes the session secret from it. It returns a NotReplyError, a *Refusal, or
// an error that is the camera's own fault.
func (h *Offerer) openReply(wire []byte) (*Answer, *Secret, error) {
	a, err := h.readReply(wire)
	if err != nil {
		return nil, nil, err
	}
	shared, err := decapsulate(h.kem, a.Enc, h.id)
	if err != nil {
		return nil, nil, err
	}

	return a, agreement{
		pair:         h.pair,
		id:           h.id,
		offerWire:    h.wire,
		answerWire:   wire,
		offerExport:  h.export,
		kemSecret:    shared,
		viewerRandom: h.random,
		cameraRandom: a.Random,
	}.secret(), nil
}

// readReply opens and parses the camera's reply. It returns the same errors as openReply.
func (h *Offerer) readReply(wire []byte) (*Answer, error) {
	err := h.pair.Addressed(h.in, wire)
	if err == nil && !h.tries.Allow() {
		err = envelope.ErrTooMany
	}
	var opened envelope.Opened
	if err == nil {
		opened, err = h.pair.Open(h.in, wire, h.now())
	}
	if err == nil && opened.Session != h.id {
		err = envelope.ErrNotForUs
	}
	if err != nil {
		return nil, NotReplyError{err}
	}

	if opened.Type == envelope.TypeRefuse {
		var r Refusal
		if err := json.Unmarshal(opened.Body, &r); err != nil {
			return nil, fmt.Errorf("parse refusal: %w", errors.Join(ErrMalformed, err))
		}
		return nil, &r
	}

	return parseAnswer(opened.Body, h.described)
}

// isReply reports whether a message is a reply of the camera to this offer. There may be several: a camera that
// restarts answers again.
func (h *Offerer) isReply(wire []byte) bool {
	_, err := h.readReply(wire)
	return !errors.As(err, new(NotReplyError))
}

// Received is an offer that has arrived at the camera. The caller has opened it once and has recorded it against
// replay.
type Received struct {
	Pair   *envelope.Pair
	Opened envelope.Opened
	Wire   []byte           // the exact bytes it came in
	Now    func() time.Time // dates replies; nil means time.Now
}

// Answer fills in the keys of a, seals it, and makes the session secret. o is what ParseOffer read from r.Opened.Body.
func (r Received) Answer(o *Offer, a Answer) (wire []byte, s *Secret, err error) {
	id := r.Opened.Session
	enc, shared, err := encapsulate(o.KEM, id)
	if err != nil {
		return nil, nil, err
	}
	a.Enc, a.Random = enc, randomBytes(32)
	body, err := json.Marshal(a)
	if err != nil {
		return nil, nil, fmt.Errorf("encode answer: %w", err)
	}

	wire, err = r.sealReply(envelope.TypeAnswer, body)
	if err != nil {
		return nil, nil, err
	}

	return wire, agreement{
		pair:         r.Pair,
		id:           id,
		offerWire:    r.Wire,
		answerWire:   wire,
		offerExport:  r.Opened.SessionExport,
		kemSecret:    shared,
		viewerRandom: o.Random,
		cameraRandom: a.Random,
	}.secret(), nil
}

// Refuse seals the reason why there is no session.
func (r Received) Refuse(why Refusal) (wire []byte, err error) {
	body, err := json.Marshal(why)
	if err != nil {
		return nil, fmt.Errorf("encode refusal: %w", err)
	}
	return r.sealReply(envelope.TypeRefuse, body)
}

// ReplyMailbox returns the mailbox that replies go to.
func (r Received) ReplyMailbox() envelope.Mailbox {
	return r.Pair.SessionMailbox(envelope.ToViewer, r.Opened.Session)
}

// sealReply dates a reply no earlier than its offer. Otherwise a camera whose clock is behind would seal replies that
// the viewer must consider expired. The reply belongs to one session, so its date allows no replay of anything else.
func (r Received) sealReply(t envelope.Type, body []byte) ([]byte, error) {
	now := time.Now()
	if r.Now != nil {
		now = r.Now()
	}
	if r.Opened.Sent.After(now) {
		now = r.Opened.Sent
	}

	sealed, err := r.Pair.Seal(r.ReplyMailbox(), envelope.Message{
		Session: r.Opened.Session,
		Type:    t,
		Sent:    now,
		Expiry:  now.Add(OfferLife),
		Body:    body,
	})
	if err != nil {
		return nil, fmt.Errorf("seal reply: %w", err)
	}
	return sealed.Wire, nil
}
