package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/signaling"
)

// makeOffer describes this end and seals the offer. It returns the bytes to post.
func (v *Viewer) makeOffer() (wire []byte, err error) {
	description, err := v.peer.pc.CreateOffer(nil)
	if err != nil {
		return nil, fmt.Errorf("create offer: %w", err)
	}
	if err := v.peer.pc.SetLocalDescription(description); err != nil {
		return nil, fmt.Errorf("set local description: %w", err)
	}

	first := v.fresh.Issue()
	o := handshake.Offer{
		First:     true,
		SDP:       description.SDP,
		Challenge: first[:],
		TURN:      v.cfg.CameraTURN,
		RelayOnly: v.cfg.RelayOnly,
		Nonce:     v.cfg.Nonce,
		LAN:       v.cfg.HostVersion,
		Relays:    v.cfg.RelayVersion,
		Agent:     v.cfg.Agent,
	}

	if v.cfg.Watch != (handshake.WatchID{}) {
		o.Watch = v.cfg.Watch[:]
	}
	for _, c := range v.cfg.Carriers {
		o.Carriers = append(o.Carriers, c.String())
	}

	return v.offerer.SealOffer(v.cfg.Box, o)
}

// postOffer runs on a goroutine of its own, because Run must go on handling what arrives. A relay that sends much
// before it accepts the offer would otherwise block the reading goroutine that both wait for.
func (v *Viewer) postOffer(ctx context.Context, wire []byte) error {
	posting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	err := v.cfg.Signal.Send(posting, v.cfg.Inbox, wire, handshake.OfferLife)
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

// deliver handles what arrives in the session's mailbox: the answer first, and records after it.
func (v *Viewer) deliver(ctx context.Context, d signaling.Delivery) error {
	if v.inbox.OpenedBefore(d) {
		return nil
	}
	if v.records == nil {
		return v.openAnswer(ctx, d)
	}
	if handshake.MayBeChunk(d.Body) {
		return v.addFirst(d)
	}

	m, err := v.records.Signaling.Open(d.Body)
	if handshake.IsHarmless(err) {
		return nil
	}
	if err != nil {
		if !v.inbox.IsReply(v.offerer, d) {
			rejectDelivery(d, "record", err, v.cfg.OnReject)
		}
		return nil
	}

	switch m.Type {
	case "candidate":
		v.peer.addCandidate(m, v.cfg.Logger)
		v.explainer.OtherCandidate(m.Candidate)
	case "bye":
		return fmt.Errorf("%w: %s", ErrEnded, printable.Text(m.Reason))
	}

	return nil
}

// addFirst adds a piece of the first picture. It reports a bad piece, but goes on, because the stream follows anyway.
func (v *Viewer) addFirst(d signaling.Delivery) error {
	plaintext, err := v.first.AddChunk(d.Body)
	if err != nil {
		rejectDelivery(d, "frame", err, v.cfg.OnReject)
		return nil
	}

	if v.inbox.NoteOpened(d); plaintext == nil {
		return nil
	}
	frame, err := handshake.ParseStill(plaintext, v.fresh)
	if err != nil {
		v.reject("frame", err)
		return nil
	}

	v.show(*frame)
	return nil
}

// show passes on a frame. It drops the first picture if the stream has begun.
func (v *Viewer) show(f handshake.Frame) {
	v.showing.Lock()
	defer v.showing.Unlock()
	if f.Still && v.streaming {
		return
	}
	v.streaming = v.streaming || !f.Still
	v.cfg.OnFrame(f)
}

// openAnswer opens the answer, and then the messages that arrived before it. It reports what does not open, and the
// wait goes on.
func (v *Viewer) openAnswer(ctx context.Context, d signaling.Delivery) error {
	a, secret, err := v.inbox.OpenReply(v.offerer, d)
	if errors.As(err, new(handshake.NotReplyError)) {
		rejectDelivery(d, "envelope", err, v.cfg.OnReject)
		return nil
	}
	if err != nil || a == nil {
		return err
	}

	if err := v.answered(ctx, a, secret); err != nil {
		return err
	}
	for _, held := range v.inbox.Release() {
		if err := v.deliver(ctx, held); err != nil {
			return err
		}
	}

	return nil
}

// introduce passes on what a camera's answer says about the camera. The functions may be nil.
func introduce(
	a *handshake.Answer, onName func(string), onHostList func(HostList), onRelayList func(RelayList),
) {
	if onName != nil {
		onName(printable.Name(a.Name))
	}
	if a.LAN != nil && onHostList != nil {
		onHostList(*a.LAN)
	}
	if a.Relays != nil && onRelayList != nil {
		onRelayList(*a.Relays)
	}
}

// answered begins the session that the camera has agreed to.
func (v *Viewer) answered(ctx context.Context, a *handshake.Answer, secret *handshake.Secret) error {
	if err := v.agree(ctx, a, secret); err != nil {
		return err
	}
	v.answerLimit.stop()
	v.answerLimit, v.connectLimit = nil, newTimeLimit(connectWait, v.starved)
	if err := v.peer.setRemote(webrtc.SDPTypeAnswer, a.SDP, v.cfg.Logger); err != nil {
		return err
	}

	v.phase(PhaseAnswered)
	introduce(a, v.cfg.OnName, v.cfg.OnHostList, v.cfg.OnRelayList)
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

// agree derives the keys of records and frames from the session secret.
func (v *Viewer) agree(ctx context.Context, a *handshake.Answer, secret *handshake.Secret) error {
	carrier, err := media.ParseCarrier(a.Carrier)
	if err != nil || !slices.Contains(v.cfg.Carriers, carrier) {
		return fmt.Errorf("%w: carrier %q was not offered", handshake.ErrMalformed, a.Carrier)
	}
	opener, err := secret.NewFrameOpener(v.fresh)
	if err != nil {
		return err
	}
	if v.first, err = secret.NewStillAssembly(handshake.MaxFirstChunks); err != nil {
		return err
	}

	v.records = secret.RecordKeys(envelope.ToCamera)
	v.receiver <- stream.NewReceiver(stream.ReceiverConfig{
		Carrier: carrier,
		Opener:  opener,
		OnFrame: v.show,
		OnReject: func(err error) {
			v.do(ctx, func() error { v.reject("frame", err); return nil })
		},
		OnMissing: func() {
			v.do(ctx, func() error { return v.sendData(handshake.Message{Type: "keyframe"}) })
		},
		OnLost: v.requestPackets,
	})

	return nil
}

// requestPackets asks the camera to send packets of a stream again.
func (v *Viewer) requestPackets(ssrc uint32, numbers []uint16) {
	nack := &rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}
	if err := v.peer.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
		v.cfg.Logger.Debug("ask for packets", "err", err)
	}
}

// readTrack reads the first track; a session has one.
func (v *Viewer) readTrack(ctx context.Context, track *webrtc.TrackRemote) {
	select {
	case r := <-v.receiver:
		if err := r.Run(ctx, track); err != nil && ctx.Err() == nil {
			v.do(ctx, func() error { return fmt.Errorf("%w: read track: %w", ErrLost, err) })
		}
	default:
		v.cfg.Logger.Debug("track without a secret, or a second track: not read")
	}
}
