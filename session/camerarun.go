package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/congestion"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/signaling"
)

// Run answers the offer and serves the viewer until ctx ends or the viewer leaves, and then returns nil, or until the
// connection breaks.
func (c *Camera) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch {
	case c.offer.Still:
		return c.sendStill(ctx)
	case c.offer.Bulk:
		return c.serveBulk(ctx)
	}
	if err := c.connect(ctx); err != nil {
		return err
	}

	c.outbox.open(ctx)
	defer c.close(cancel)
	if err := c.answer(); err != nil {
		return err
	}
	box := admitted(c.in, c.cfg.Ticket)
	stop := c.cfg.Signal.Receive(box, func(d signaling.Delivery) bool {
		c.do(ctx, func() error { return c.deliver(d) })
		return true
	})
	defer stop()

	patience := time.NewTimer(connectWait)
	defer patience.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
		case f := <-c.events:
			err = f()
		case <-ticker.C:
			err = errors.Join(c.tellTrouble(), c.tellSending(), c.tellRelays())
			c.tellPackets()
			c.explainer.Tick()
		case <-patience.C:
			if !c.live {
				err = noWayError{"viewer"}
			}
		}

		if ctx.Err() != nil {
			c.leaves = true
			return nil
		}
		if errors.Is(err, errLeft) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *Camera) connect(ctx context.Context) error {
	pacer := congestion.NewPacer()
	p, err := newPeer(ctx, peerConfig{
		carriers:  []media.Carrier{c.carrier},
		turn:      c.offer.TURN,
		trust:     c.cfg.TLS,
		relayOnly: c.hides(),
		loopback:  c.cfg.Loopback,
		hello:     handshake.Message{Type: "hello", Name: c.cfg.Name},
		feedback:  pacer.Report,
		network:   c.cfg.network,
		log:       c.cfg.Logger,
	})
	if err != nil {
		return err
	}

	track, err := stream.NewTrack(c.carrier)
	var rtp *webrtc.RTPSender
	if err == nil {
		rtp, err = p.pc.AddTrack(track)
	}

	if err == nil {
		err = p.setRemote(webrtc.SDPTypeOffer, c.offer.SDP, c.cfg.Logger)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOffer, errors.Join(err, p.pc.Close()))
	}

	c.peer = p
	c.sender = stream.NewSender(track, pacer, c.carrier, stream.NewSelector(c.cfg.Stream, c.cfg.Low), c.cfg.Logger)
	c.work.Go(func() { c.readRTCP(ctx, rtp) })
	c.handleEvents(ctx)
	c.explainPath(ctx)
	return nil
}

// handleEvents makes the connection's events run on Run's goroutine.
func (c *Camera) handleEvents(ctx context.Context) {
	pc, data := c.peer.pc, c.peer.data
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		c.do(ctx, func() error { return c.candidate(ctx, candidate) })
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		c.do(ctx, func() error { return c.stateChanged(ctx, s) })
	})

	data.OnOpen(func() { c.do(ctx, c.greet) })
	data.OnMessage(func(m webrtc.DataChannelMessage) {
		c.do(ctx, func() error { return c.dataArrived(ctx, m.Data) })
	})
	pc.SCTP().OnClose(func(error) { // the viewer left without a bye
		c.do(ctx, func() error { return errLeft })
	})
	pc.OnDataChannel(func(*webrtc.DataChannel) {
		c.do(ctx, func() error { return ErrChannel })
	})
}

// explainPath starts the explainer, which follows the session's path, and the puncher, which finds a better one.
func (c *Camera) explainPath(ctx context.Context) {
	do := func(f func() error) { c.do(ctx, f) }
	c.explainer = path.NewExplainer(path.ExplainerConfig{
		Role:     "camera",
		PC:       c.peer.pc,
		Servers:  c.offer.TURN.ServerURLs(),
		Region:   regionAsSeen(c.offer.TURN, "camera"),
		Hides:    path.Hiding{Viewer: c.offer.RelayOnly, Camera: c.cfg.RelayOnly},
		CanPunch: c.peer.sockets != nil,
		Tell: func(n handshake.Network) error {
			return c.sendData(handshake.Message{Type: "network", Network: &n})
		},
		OnPath: c.cfg.OnPath,
		Do:     do,
		Work:   &c.work,
	})

	check := func(m handshake.Message) { c.peer.check(m, c.cfg.Logger) }
	c.puncher = newPuncher(c.peer.sockets, check, false, c.offer.TURN.ServerURLs(), c.sendData, do, &c.work,
		c.cfg.Logger)
	c.explainer.Run(ctx)
}

func (c *Camera) greet() error {
	err := c.peer.greet(c.records)
	c.explainer.Listened()
	return err
}

// readRTCP reads the viewer's reports until the connection closes. They ask for lost packets. A browser that plays the
// track also asks for a keyframe by PLI (RFC 4585, section 6.3.1). With the vp8 carrier, the browser's own decoder does
// not see the picture, so only the keyframe record counts there.
func (c *Camera) readRTCP(ctx context.Context, rtp *webrtc.RTPSender) {
	for {
		packets, _, err := rtp.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack:
				c.sender.SendAgain(p)
			case *rtcp.PictureLossIndication:
				if c.carrier == media.H264Carrier {
					c.do(ctx, func() error { c.sender.Restart(); return nil })
				}
			}
		}
	}
}

func (c *Camera) deliver(d signaling.Delivery) error {
	m, err := c.records.Signaling.Open(d.Body)
	if err != nil {
		if c.reject(err) {
			d.Reject()
		}
		return nil
	}

	switch m.Type {
	case "candidate":
		c.peer.addCandidate(m, c.cfg.Logger)
		c.explainer.OtherCandidate(m.Candidate)
	case "bye":
		return errLeft
	}

	return nil
}

func (c *Camera) dataArrived(ctx context.Context, wire []byte) error {
	m, err := c.records.Data.Open(wire)
	if err != nil {
		c.reject(err)
		return nil
	}
	if m.Type == "hello" {
		c.greeted = true
		return c.tellTrouble()
	}
	if !c.greeted {
		return nil
	}

	switch m.Type {
	case "challenge":
		c.sender.AnswerChallenge(m.Challenge)
		c.sender.ViewerBusy(float64(min(max(m.Busy, 0), 100)) / 100)
	case "keyframe":
		c.sender.Restart()
	case "network":
		c.explainer.Heard(m.Network)
	case "punch":
		c.puncher.heard(ctx, c.explainer, m.Punch)
	case "bye":
		return errLeft
	}

	return nil
}

// candidate handles a candidate of this end. nil means that no more will come, except those of opened ports.
func (c *Camera) candidate(ctx context.Context, candidate *webrtc.ICECandidate) error {
	if candidate == nil {
		c.explainer.Gathered()
	}
	if !c.hides() && !c.cfg.Loopback {
		ports := portMapper(c.cfg.PortMapper, c.cfg.SeenAs, c.offer.TURN)
		openPort(ctx, ports, candidate, &c.work, c.cfg.Logger, func(m *webrtc.ICECandidate) {
			c.do(ctx, func() error { return c.sendCandidate(m) })
		})
	}

	return c.sendCandidate(candidate)
}

func (c *Camera) sendCandidate(candidate *webrtc.ICECandidate) error {
	if !c.peer.offered.offers(candidate) {
		return nil
	}
	wire, err := c.records.Signaling.Seal(candidateMessage(outgoing(candidate)))
	if err != nil {
		return err
	}

	c.outbox.post(wire)
	return nil
}

func (c *Camera) stateChanged(ctx context.Context, s webrtc.PeerConnectionState) error {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !c.live {
			c.live = true
			if c.cfg.OnLive != nil {
				c.cfg.OnLive()
			}
			c.work.Go(func() { c.sender.Run(ctx) })
		}
	case webrtc.PeerConnectionStateDisconnected:
		if c.cfg.OnStall != nil {
			c.cfg.OnStall()
		}
	case webrtc.PeerConnectionStateClosed: // the viewer closed DTLS
		return errLeft
	case webrtc.PeerConnectionStateFailed:
		return ErrLost
	}
	return nil
}

func (c *Camera) close(cancel context.CancelFunc) {
	c.explainer.Finish(c.records != nil)
	c.peer.end(c.leaves, c.records, c.outbox, cancel, c.cfg.Logger)
	c.work.Wait()
}
