package session

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

func (v *Viewer) makeOffer() error {
	description, err := v.peer.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("create offer: %w", err)
	}
	if err := v.peer.pc.SetLocalDescription(description); err != nil {
		return fmt.Errorf("set local description: %w", err)
	}
	now := time.Now()
	first := v.fresh.issue(now)
	o := offer{
		SDP: description.SDP, KEM: v.kem.PublicKey().Bytes(), Random: v.random, Challenge: first[:],
		TURN: v.cfg.CameraTURN, RelayOnly: v.cfg.RelayOnly, Agent: v.cfg.Agent,
	}
	for _, c := range v.cfg.Carriers {
		o.Carriers = append(o.Carriers, c.String())
	}
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode offer: %w", err)
	}
	sealed, err := v.cfg.Pair.Seal(v.cfg.Box, envelope.Message{Session: v.id, Type: envelope.TypeOffer, Sent: now, Expiry: now.Add(offerLife), Body: body})
	if err != nil {
		return fmt.Errorf("seal offer: %w", err)
	}
	v.offerWire, v.offerExport = sealed.Wire, sealed.SessionExport
	return nil
}

// postOffer runs beside Run's goroutine, which must go on taking what arrives: a relay that sends much before it says that it has the
// offer would else stop the reading goroutine that both wait for.
func (v *Viewer) postOffer(ctx context.Context) error {
	posting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	err := v.cfg.Signal.Send(posting, v.cfg.Inbox, v.offerWire, offerLife)
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send offer: %w", errors.Join(ErrSilent, err))
	}
	if err != nil {
		return fmt.Errorf("send offer: %w", err)
	}
	return nil
}

// deliver takes what came through the session's mailbox: the answer first, records after it.
// A mailbox delivers at least once: a copy of what came before is neither news nor an alarm.
func (v *Viewer) deliver(body []byte) error {
	mark := sha256.Sum256(body)
	if v.seen[mark] {
		return nil
	}
	if v.records == nil {
		err := v.answered(body)
		if v.records != nil {
			v.opened(mark)
		}
		return err
	}
	m, err := v.records.signaling.in.open(body)
	if err != nil {
		v.reject("record", err)
		return nil
	}
	v.opened(mark)
	switch m.Type {
	case "candidate":
		v.peer.addCandidate(m, v.cfg.Logger)
	case "bye":
		return fmt.Errorf("%w: %s", ErrEnded, Printable(m.Reason))
	}
	return nil
}

// opened remembers a message that has opened, to know its copies by.
func (v *Viewer) opened(mark [32]byte) {
	if len(v.seen) < maxSeen {
		v.seen[mark] = true
	}
}

// answered opens the answer and makes the session secret. What does not open is counted, and the wait goes on.
func (v *Viewer) answered(wire []byte) error {
	opened, err := v.cfg.Pair.Open(v.in, wire, time.Now())
	if err == nil && opened.Session != v.id {
		err = envelope.ErrNotForUs
	}
	if err != nil {
		v.reject("envelope", err)
		return nil
	}
	if opened.Type == envelope.TypeRefuse {
		var r Refusal
		if err := json.Unmarshal(opened.Body, &r); err != nil {
			return fmt.Errorf("parse refusal: %w", errors.Join(ErrMalformed, err))
		}
		return &r
	}
	a, err := parseAnswer(opened.Body)
	if err != nil {
		return err
	}
	if err := v.agree(a, wire); err != nil {
		return err
	}
	if err := v.peer.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP}); err != nil {
		return fmt.Errorf("set remote description: %w", err)
	}
	v.phase("answered")
	if v.cfg.OnName != nil {
		v.cfg.OnName(Printable(a.Name))
	}
	for _, c := range v.pending {
		if err := v.sendRecord(candidateMessage(c)); err != nil {
			return err
		}
	}
	v.pending = nil
	return nil
}

func (v *Viewer) agree(a *answer, wire []byte) error {
	carrier, err := media.ParseCarrier(a.Carrier)
	if err != nil || !slices.Contains(v.cfg.Carriers, carrier) {
		return fmt.Errorf("%w: carrier %q was not offered", ErrMalformed, a.Carrier)
	}
	kemSecret, err := decapsulate(v.kem, a.Enc, v.id)
	if err != nil {
		return err
	}
	s := agreement{pair: v.cfg.Pair, id: v.id, offerWire: v.offerWire, answerWire: wire, offerExport: v.offerExport,
		kemSecret: kemSecret, viewerRandom: v.random, cameraRand: a.Random}.secret()
	receiver, err := sframe.NewReceiver(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
	if err != nil {
		return fmt.Errorf("make frame receiver: %w", err)
	}
	v.records = s.recordKeys(envelope.ToCamera)
	v.opener <- &opener{carrier: carrier, receiver: receiver, binding: s.binding(videoTrack), fresh: &v.fresh,
		onFrame: v.cfg.OnFrame}
	return nil
}
