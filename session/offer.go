package session

import (
	"context"
	"crypto/sha256"
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
	o := offer{SDP: description.SDP, Challenge: first[:], TURN: v.cfg.CameraTURN, RelayOnly: v.cfg.RelayOnly, Agent: v.cfg.Agent}
	for _, c := range v.cfg.Carriers {
		o.Carriers = append(o.Carriers, c.String())
	}
	return v.handshake.seal(v.cfg.Box, o, now)
}

// postOffer runs beside Run's goroutine, which must go on taking what arrives: a relay that sends much before it says that it has the
// offer would else stop the reading goroutine that both wait for.
func (v *Viewer) postOffer(ctx context.Context) error {
	posting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	err := v.cfg.Signal.Send(posting, v.cfg.Inbox, v.handshake.wire, offerLife)
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
	a, err := v.handshake.open(wire, time.Now())
	if errors.As(err, new(errForeign)) {
		v.reject("envelope", err)
		return nil
	}
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
	s, err := v.handshake.secret(a, wire)
	if err != nil {
		return err
	}
	receiver, err := sframe.NewReceiver(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
	if err != nil {
		return fmt.Errorf("make frame receiver: %w", err)
	}
	v.records = s.recordKeys(envelope.ToCamera)
	v.opener <- &opener{carrier: carrier, receiver: receiver, binding: s.binding(videoTrack), fresh: &v.fresh,
		onFrame: v.cfg.OnFrame}
	return nil
}
