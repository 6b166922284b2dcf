package session

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
)

// Run offers a session and keeps it until ctx ends, and then returns nil, or until the camera ends or refuses it or the
// connection breaks.
func (v *Viewer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := v.cfg.Signal.Receive(mailbox(v.offerer.InMailbox()), func(d signaling.Delivery) bool {
		v.do(ctx, func() error { return v.deliver(ctx, d) })
		return true
	})
	defer stop()

	if err := v.connect(ctx); err != nil {
		return err
	}
	defer v.close(cancel)
	v.outbox.open(ctx)
	v.tracks.Go(func() { v.peer.triggered.Run(ctx, v.peer.pc.AddICECandidate) })
	v.tracks.Go(func() { v.delay.Run(ctx) })

	wire, err := v.makeOffer()
	if err != nil {
		return err
	}
	posted := make(chan error, 1)
	v.tracks.Go(func() { posted <- v.postOffer(ctx, wire) })

	ticker := time.NewTicker(handshake.ChallengeEvery)
	defer ticker.Stop()
	defer func() { v.answerLimit.stop(); v.connectLimit.stop() }()
	for {
		var err error
		select {
		case <-ctx.Done():
		case f := <-v.events:
			err = f()
		case err = <-posted:
			err = v.offerPosted(err)
		case <-ticker.C:
			v.tick(ctx)
		case <-v.answerLimit.fired():
			err = v.judgeAnswerLimit()
		case <-v.connectLimit.fired():
			err = v.judgeConnectLimit()
		}

		if ctx.Err() != nil {
			v.leaves = true
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// offerPosted begins the wait for the camera's answer. err is why the relay did not accept the offer. If an
// answer has come anyway, err does not matter: the camera has the offer, whatever the relay says.
func (v *Viewer) offerPosted(err error) error {
	if v.records != nil {
		return nil
	}
	v.answerLimit = newTimeLimit(answerWait, v.starved)
	return err
}

// judgeAnswerLimit ends the session if the camera had all of the time to answer.
func (v *Viewer) judgeAnswerLimit() error {
	if v.answerLimit.passed() {
		return ErrNoAnswer
	}
	return nil
}

// judgeConnectLimit ends the session if it had all of the time to find a path and is not connected.
func (v *Viewer) judgeConnectLimit() error {
	if !v.connected && v.connectLimit.passed() {
		return noWayError{"camera"}
	}
	return nil
}

// tick does the work of every second.
func (v *Viewer) tick(ctx context.Context) {
	v.sendChallenge()
	v.judgeSilence()
	v.tellPackets()
	v.explainer.Tick()
	v.puncher.tick(ctx, v.explainer)
}

// connect makes the peer connection and the handlers that feed Run.
func (v *Viewer) connect(ctx context.Context) error {
	p, err := newPeer(ctx, peerConfig{
		carriers:  v.cfg.Carriers,
		turn:      v.cfg.TURN,
		trust:     v.cfg.TLS,
		relayOnly: v.cfg.RelayOnly,
		loopback:  v.cfg.Loopback,
		hello:     handshake.Message{Type: "hello"},
		network:   v.cfg.network,
		log:       v.cfg.Logger,
	})
	if err != nil {
		return err
	}

	v.peer = p
	receiveOnly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	if _, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, receiveOnly); err != nil {
		p.pc.Close()
		return fmt.Errorf("add video transceiver: %w", err)
	}

	v.handleEvents(ctx)
	v.explainPath(ctx)
	return nil
}

// handleEvents makes the connection's events run on Run's goroutine.
func (v *Viewer) handleEvents(ctx context.Context) {
	ports, closePorts := context.WithCancel(ctx)
	v.closePorts = closePorts
	pc, data := v.peer.pc, v.peer.data
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		v.do(ctx, func() error { return v.candidate(ports, c) })
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		v.do(ctx, func() error { return v.stateChanged(s) })
	})
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		v.peer.iceStateChanged(s)
		if s == webrtc.ICEConnectionStateConnected {
			v.do(ctx, func() error { v.phase("checked"); return nil })
		}
	})
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		v.tracks.Go(func() { v.readTrack(ctx, t) })
	})

	data.OnOpen(func() { v.do(ctx, v.greet) })
	data.OnMessage(func(m webrtc.DataChannelMessage) {
		v.do(ctx, func() error { return v.dataArrived(ctx, m.Data) })
	})
	pc.SCTP().OnClose(func(error) { // the camera left without a bye
		v.do(ctx, func() error { return ErrLost })
	})
	pc.OnDataChannel(func(*webrtc.DataChannel) {
		v.do(ctx, func() error { return ErrChannel })
	})
}

// explainPath starts the explainer, which follows the session's path, and the puncher, which finds a better one.
func (v *Viewer) explainPath(ctx context.Context) {
	do := func(f func() error) { v.do(ctx, f) }
	v.explainer = path.NewExplainer(path.ExplainerConfig{
		Role:      "viewer",
		PC:        v.peer.pc,
		Servers:   v.cfg.TURN.ServerURLs(),
		Region:    regionAsSeen(v.cfg.TURN, "viewer"),
		Hides:     path.Hiding{Viewer: v.cfg.RelayOnly},
		Addresses: v.cfg.Addresses,
		CanPunch:  v.peer.sockets != nil,
		Tell: func(n handshake.Network) error {
			return v.sendData(handshake.Message{Type: "network", Network: &n})
		},
		OnPath: v.cfg.OnPath,
		Do:     do,
		Work:   &v.tracks,
	})

	check := func(m handshake.Message) { v.peer.check(m, v.cfg.Logger) }
	v.puncher = newPuncher(v.peer.sockets, check, true, v.cfg.TURN.ServerURLs(), v.sendData, do, &v.tracks,
		v.cfg.Logger)
	v.explainer.Run(ctx)
}

func (v *Viewer) stateChanged(s webrtc.PeerConnectionState) error {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !v.connected {
			v.connected = true
			v.phase(PhaseConnected)
		}
		v.silent, v.stalled = false, false
		v.stall(false)
	case webrtc.PeerConnectionStateDisconnected:
		v.silent = true
		v.judgeSilence()
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		return ErrLost
	}
	return nil
}

// candidate handles a candidate of this end. nil means that no more will come, except those of opened ports.
func (v *Viewer) candidate(ctx context.Context, c *webrtc.ICECandidate) error {
	if c == nil {
		v.explainer.Gathered()
	}
	if !v.cfg.RelayOnly && !v.cfg.Loopback {
		ports := portMapper(v.cfg.PortMapper, v.cfg.SeenAs, v.cfg.TURN)
		openPort(ctx, ports, c, &v.tracks, v.cfg.Logger, func(m *webrtc.ICECandidate) {
			v.do(ctx, func() error { return v.sendCandidate(m) })
		})
	}

	return v.sendCandidate(c)
}

func (v *Viewer) dataArrived(ctx context.Context, wire []byte) error {
	if v.records == nil {
		return nil
	}
	m, err := v.records.Data.Open(wire)
	if handshake.IsHarmless(err) {
		return nil
	}
	if err != nil {
		v.reject("record", err)
		return nil
	}
	if m.Type == "hello" {
		v.greeted = true
		return nil
	}

	if !v.greeted {
		return nil
	}
	switch m.Type {
	case "status":
		if v.cfg.OnStatus != nil {
			v.cfg.OnStatus(Status{printable.Text(m.Code), printable.Text(m.Text)})
		}
	case "sending":
		if v.cfg.OnSending != nil && m.Sending != nil {
			v.cfg.OnSending(*m.Sending)
		}
	case "relays":
		if v.cfg.OnRelayList != nil && m.Relays != nil && m.Relays.Valid() {
			v.cfg.OnRelayList(*m.Relays)
		}
	case "network":
		v.explainer.Heard(m.Network)
	case "punch":
		v.puncher.heard(ctx, v.explainer, m.Punch)
	case "bye":
		return fmt.Errorf("%w: %s", ErrEnded, printable.Text(m.Reason))
	}

	return nil
}

func (v *Viewer) greet() error {
	err := v.peer.greet(v.records)
	v.explainer.Listened()
	return err
}

// tellPackets reports packets that reached this end but do not come from the camera, at most once a second.
func (v *Viewer) tellPackets() {
	if err := v.peer.packets.sinceLast(); err != nil {
		v.reject("packet", err)
	}
}

func (v *Viewer) close(cancel context.CancelFunc) {
	v.explainer.Finish(v.records != nil)
	v.peer.end(v.leaves, v.records, v.outbox, cancel, v.cfg.Logger)
	v.tracks.Wait()
	v.tellPackets()
}
