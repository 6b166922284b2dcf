package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
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
	o := offer{First: true, SDP: description.SDP, Challenge: first[:], TURN: v.cfg.CameraTURN, RelayOnly: v.cfg.RelayOnly, Agent: v.cfg.Agent}
	if v.cfg.Watch != (WatchID{}) {
		o.Watch = v.cfg.Watch[:]
	}
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
		return ErrSilent
	}
	if err != nil {
		return fmt.Errorf("send offer: %w", err)
	}
	return nil
}

// deliver takes what came through the session's mailbox: the answer first, records after it.
func (v *Viewer) deliver(d signaling.Delivery) error {
	if v.arrivals.again(d) {
		return nil
	}
	if v.records == nil {
		return v.takeAnswer(d)
	}
	if mayBeChunk(d.Body) {
		return v.takeFirst(d)
	}
	m, err := v.records.signaling.in.open(d.Body)
	if err != nil {
		if !v.handshake.answers(d.Body) {
			v.rejectDelivery(d, "record", err)
		}
		return nil
	}
	v.arrivals.opened(d)
	switch m.Type {
	case "candidate":
		v.peer.addCandidate(m, v.cfg.Logger)
		v.explainer.candidate(m)
	case "bye":
		return fmt.Errorf("%w: %s", ErrEnded, Printable(m.Reason))
	}
	return nil
}

// takeFirst takes a piece of the first picture. What is wrong with it is told, and of no consequence: the stream follows.
func (v *Viewer) takeFirst(d signaling.Delivery) error {
	plaintext, err := v.first.add(d.Body)
	if err != nil {
		if !v.handshake.answers(d.Body) {
			v.rejectDelivery(d, "frame", err)
		}
		return nil
	}
	if v.arrivals.opened(d); plaintext == nil {
		return nil
	}
	frame, err := parseStill(plaintext, &v.fresh)
	if err != nil {
		v.reject("frame", err)
		return nil
	}
	v.show(*frame)
	return nil
}

// show hands on a frame; the first picture only if the stream has not begun.
func (v *Viewer) show(f Frame) {
	v.showing.Lock()
	defer v.showing.Unlock()
	if f.Still && v.streaming {
		return
	}
	v.streaming = v.streaming || !f.Still
	v.cfg.OnFrame(f)
}

// takeAnswer takes the answer, and then what came before it. What does not open is counted, and the wait goes on.
func (v *Viewer) takeAnswer(d signaling.Delivery) error {
	a, err := v.handshake.open(d.Body, time.Now())
	if errors.As(err, new(errForeign)) {
		if !v.arrivals.hold(d) {
			v.rejectDelivery(d, "envelope", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := v.answered(a, d.Body); err != nil {
		return err
	}
	v.arrivals.opened(d)
	for _, held := range v.arrivals.release() {
		if err := v.deliver(held); err != nil {
			return err
		}
	}
	return nil
}

func (v *Viewer) rejectDelivery(d signaling.Delivery, what string, err error) {
	if foreign(err) {
		d.Reject()
	}
	v.reject(what, err)
}

// answered makes the session secret from the answer.
func (v *Viewer) answered(a *answer, wire []byte) error {
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
	if a.RelayOnly {
		v.hideToo()
	}
	for _, c := range v.pending {
		if err := v.sendCandidate(c); err != nil {
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
	if v.first, err = newAssembly(s); err != nil {
		return err
	}
	v.records = s.recordKeys(envelope.ToCamera)
	v.opener <- &opener{carrier: carrier, receiver: receiver, binding: s.binding(videoTrack), fresh: &v.fresh,
		onFrame: v.show}
	return nil
}
