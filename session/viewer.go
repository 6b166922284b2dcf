package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/signaling"
)

// Viewer is the viewer's end of one session.
type Viewer struct {
	cfg     ViewerConfig
	offerer *handshake.Offerer
	fresh   *handshake.Freshness
	peer    *peer
	events  chan func() error // run by Run's goroutine, which owns the fields below unless they say otherwise

	explainer *path.Explainer
	puncher   *puncher
	inbox     *handshake.Inbox
	records   *handshake.RecordKeys  // nil until the answer has opened
	pending   []*webrtc.ICECandidate // ours, gathered before there was an answer
	connected bool
	greeted   bool // the camera's hello has opened
	leaves    bool // we are ending the session, so say bye
	silent    bool // nothing arrives from the camera
	stalled   bool // OnStall has been called for that silence
	delay     *clock.SchedulingDelay
	starved   func(since time.Time) time.Duration // time spent waiting for a processor; delay.Since, except in tests
	asked     time.Time                           // when busy was last called

	answerLimit  *timeLimit // for the camera's answer; nil before the offer is posted, and after the answer
	connectLimit *timeLimit // for a path; nil before there is an answer

	cameraHides bool   // the camera shows only the relay's address
	closePorts  func() // closes opened ports before the session's end

	outbox   *outbox
	first    *handshake.StillAssembly // assembles the first picture
	receiver chan *stream.Receiver    // holds the track's receiver once there is a secret
	tracks   sync.WaitGroup

	showing   sync.Mutex // held while OnFrame is called
	streaming bool       // guarded by showing; a frame of the stream has been shown
}

// NewViewer prepares a session. Run starts it.
func NewViewer(cfg ViewerConfig) (*Viewer, error) {
	h, err := handshake.NewOfferer(cfg.Pair, cfg.Now)
	if err != nil {
		return nil, err
	}
	delay := &clock.SchedulingDelay{}
	return &Viewer{
		cfg:      cfg,
		offerer:  h,
		fresh:    handshake.NewFreshness(cfg.Clock),
		inbox:    handshake.NewInbox(),
		events:   make(chan func() error, 64),
		outbox:   newOutbox(cfg.Signal, mailbox(h.OutMailbox()), cfg.Logger),
		receiver: make(chan *stream.Receiver, 1),
		delay:    delay,
		starved:  delay.Since,
	}, nil
}

// do hands f to Run's goroutine, unless the session has ended.
func (v *Viewer) do(ctx context.Context, f func() error) {
	select {
	case v.events <- f:
	case <-ctx.Done():
	}
}

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
			v.leaves = true
			return nil
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
	v.puncher = newPuncher(v.peer, true, v.cfg.TURN.ServerURLs(), v.sendData, do, &v.tracks, v.cfg.Logger)
	v.explainer.Run(ctx)
}

func (v *Viewer) stateChanged(s webrtc.PeerConnectionState) error {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !v.connected {
			v.connected = true
			v.phase("connected")
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
	if v.cfg.PortMapper != nil && !v.cfg.RelayOnly && !v.cfg.Loopback && opens(c) {
		v.tracks.Go(func() {
			openPort(ctx, v.cfg.PortMapper, *c, v.cfg.Logger, func(m *webrtc.ICECandidate) {
				v.do(ctx, func() error { return v.sendCandidate(m) })
			})
		})
	}

	return v.sendCandidate(c)
}

func (v *Viewer) sendCandidate(c *webrtc.ICECandidate) error {
	if v.records == nil {
		v.pending = append(v.pending, c)
		return nil
	}
	if v.useless(c) || !v.peer.offers(c) {
		return nil
	}
	return v.sendRecord(candidateMessage(outgoing(c)))
}

// hideToo hides our address from a camera that hides its own: the camera gets no address of ours, and no port of our
// router stays open for it.
func (v *Viewer) hideToo() {
	v.cameraHides = true
	v.closePorts()
	v.explainer.CameraHides()
}

// useless reports whether a candidate holds an address of ours that the camera does not use because it hides its own.
// The camera must not learn ours either.
func (v *Viewer) useless(c *webrtc.ICECandidate) bool {
	return c != nil && v.cameraHides && c.Typ != webrtc.ICECandidateTypeRelay
}

func (v *Viewer) sendRecord(m handshake.Message) error {
	wire, err := v.records.Signaling.Seal(m)
	if err != nil {
		return err
	}
	v.outbox.post(wire)
	return nil
}

func (v *Viewer) dataArrived(ctx context.Context, wire []byte) error {
	if v.records == nil {
		return nil
	}
	m, err := v.records.Data.Open(wire)
	if errors.Is(err, handshake.ErrTooFast) {
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
	err := v.sendData(handshake.Message{Type: "hello"})
	v.explainer.Listened()
	return err
}

func (v *Viewer) sendData(m handshake.Message) error { return v.peer.send(v.records, m) }

func (v *Viewer) reject(what string, err error) {
	if v.cfg.OnReject != nil {
		v.cfg.OnReject(Rejection{what, err})
	}
}

// tellPackets reports packets that reached this end but do not come from the camera, at most once a second.
func (v *Viewer) tellPackets() {
	if err := v.peer.packets.sinceLast(); err != nil {
		v.reject("packet", err)
	}
}

func (v *Viewer) phase(name string) {
	if v.cfg.OnPhase != nil {
		v.cfg.OnPhase(name)
	}
}

func (v *Viewer) close(cancel context.CancelFunc) {
	v.explainer.Finish(v.records != nil)
	v.peer.end(v.leaves, v.records, v.outbox, cancel, v.cfg.Logger)
	v.tracks.Wait()
	v.tellPackets()
}
