package session

import (
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// handshake is the viewer's end of the agreement on a session secret: one offer, one answer (doc/protocol.md, section 6).
type handshake struct {
	pair   *envelope.Pair
	id     envelope.SessionID
	kem    hpke.PrivateKey
	random blob
	in     envelope.Mailbox // where the answer comes

	still  bool            // what was offered
	wire   []byte          // the offer as it is posted
	export envelope.Secret // its part of the session secret
}

func newHandshake(pair *envelope.Pair) (*handshake, error) {
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make session key: %w", err)
	}
	h := &handshake{pair: pair, kem: kem, random: fresh(32)}
	copy(h.id[:], fresh(len(h.id)))
	h.in = pair.SessionMailbox(envelope.ToViewer, h.id)
	return h, nil
}

// seal puts the session's own keys into o and seals it for the camera's mailbox.
func (h *handshake) seal(box envelope.Mailbox, o offer, now time.Time) error {
	o.KEM, o.Random = h.kem.PublicKey().Bytes(), h.random
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode offer: %w", err)
	}
	sealed, err := h.pair.Seal(box, envelope.Message{Session: h.id, Type: envelope.TypeOffer, Sent: now, Expiry: now.Add(offerLife), Body: body})
	if err != nil {
		return fmt.Errorf("seal offer: %w", err)
	}
	h.still, h.wire, h.export = o.Still, sealed.Wire, sealed.SessionExport
	return nil
}

// errForeign marks what is not the camera's reply to this offer: it is counted and told, and the wait for the reply goes on.
type errForeign struct{ error }

func (e errForeign) Unwrap() error { return e.error }

// open opens the camera's reply. Errors: errForeign; a *Refusal; else the camera's own fault.
func (h *handshake) open(wire []byte, now time.Time) (*answer, error) {
	opened, err := h.pair.Open(h.in, wire, now)
	if err == nil && opened.Session != h.id {
		err = envelope.ErrNotForUs
	}
	if err != nil {
		return nil, errForeign{err}
	}
	if opened.Type == envelope.TypeRefuse {
		var r Refusal
		if err := json.Unmarshal(opened.Body, &r); err != nil {
			return nil, fmt.Errorf("parse refusal: %w", errors.Join(ErrMalformed, err))
		}
		return nil, &r
	}
	return parseAnswer(opened.Body, h.still)
}

// answers says whether a message is the camera's reply to this offer, another one than was taken: a camera that restarts answers again.
func (h *handshake) answers(wire []byte) bool {
	_, err := h.open(wire, time.Now())
	return !errors.As(err, new(errForeign))
}

// reply seals the camera's answer to an offer and makes the session secret from both: the handshake's other end. What a
// carries of keys is filled in here.
func reply(cfg CameraConfig, o *offer, a answer) (wire []byte, s *secret, err error) {
	id := cfg.Offer.Session
	enc, shared, err := encapsulate(o.KEM, id)
	if err != nil {
		return nil, nil, err
	}
	a.Enc, a.Random, a.Name = enc, fresh(32), cfg.Name
	body, err := json.Marshal(a)
	if err != nil {
		return nil, nil, fmt.Errorf("encode answer: %w", err)
	}
	wire, err = sealReply(cfg, envelope.TypeAnswer, body)
	if err != nil {
		return nil, nil, err
	}
	return wire, agreement{pair: cfg.Pair, id: id, offerWire: cfg.OfferWire, answerWire: wire, offerExport: cfg.Offer.SessionExport,
		kemSecret: shared, viewerRandom: o.Random, cameraRand: a.Random}.secret(), nil
}

// sealReply dates a reply no earlier than its offer: a camera whose clock is behind would else seal what the viewer must take
// for expired. The reply is of one session, so its date lets nothing else be replayed.
func sealReply(cfg CameraConfig, t envelope.Type, body []byte) ([]byte, error) {
	now := time.Now()
	if cfg.Offer.Sent.After(now) {
		now = cfg.Offer.Sent
	}
	box := cfg.Pair.SessionMailbox(envelope.ToViewer, cfg.Offer.Session)
	sealed, err := cfg.Pair.Seal(box, envelope.Message{Session: cfg.Offer.Session, Type: t, Sent: now, Expiry: now.Add(offerLife), Body: body})
	if err != nil {
		return nil, fmt.Errorf("seal reply: %w", err)
	}
	return sealed.Wire, nil
}

// secret is what both ends now share. wire is the answer as it came.
func (h *handshake) secret(a *answer, wire []byte) (*secret, error) {
	shared, err := decapsulate(h.kem, a.Enc, h.id)
	if err != nil {
		return nil, err
	}
	return agreement{pair: h.pair, id: h.id, offerWire: h.wire, answerWire: wire, offerExport: h.export,
		kemSecret: shared, viewerRandom: h.random, cameraRand: a.Random}.secret(), nil
}
