package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/signaling"
)

var (
	// ErrNoAnswer is returned when the camera does not answer an offer in time.
	ErrNoAnswer = errors.New("your camera did not answer: it may be off or without internet")
	// ErrLost is returned when the connection to the camera broke and did not come back.
	ErrLost = errors.New("the connection to the camera was lost")
	// ErrEnded is returned when the camera ended the session.
	ErrEnded = errors.New("the camera ended the session")
	// ErrSilent is returned when the relay is connected and does not take the offer in time.
	ErrSilent = errors.New("the relay does not answer")
)

const (
	clockRate   = 90000 // RTP clock of both carriers, Hz
	answerWait  = 10 * time.Second
	connectWait = 20 * time.Second
	offerLife   = 60 * time.Second
)

// Viewer is the viewer's end of one session.
type Viewer struct {
	cfg       ViewerConfig
	handshake *handshake
	fresh     freshness
	peer      *peer
	events    chan func() error // run by Run's goroutine, which owns all that follows

	explainer *explainer
	puncher   *puncher
	arrivals  arrivals
	records   *recordKeys            // nil until the answer has opened
	pending   []*webrtc.ICECandidate // ours, gathered before there was an answer
	connected bool
	greeted   bool // the camera's hello has opened
	leaves    bool // and is not left: it says bye

	cameraHides bool   // the camera shows no address but the relay's
	closePorts  func() // gives opened ports back before the session's end

	outbox *outbox
	first  *assembly    // of the first picture
	opener chan *opener // holds the frame opener once there is a secret
	tracks sync.WaitGroup

	showing   sync.Mutex // held while OnFrame is called
	streaming bool       // guarded by showing; a frame of the stream has been shown
}

// NewViewer prepares a session; Run starts it.
func NewViewer(cfg ViewerConfig) (*Viewer, error) {
	h, err := newHandshake(cfg.Pair)
	if err != nil {
		return nil, err
	}
	v := &Viewer{cfg: cfg, handshake: h, arrivals: arrivals{follows: mayFollow}, events: make(chan func() error, 64), opener: make(chan *opener, 1)}
	v.outbox = newOutbox(cfg.Signal, mailbox(cfg.Pair.SessionMailbox(envelope.ToCamera, h.id)), cfg.Logger)
	return v, nil
}

// do hands f to Run's goroutine, unless the session has ended.
func (v *Viewer) do(ctx context.Context, f func() error) {
	select {
	case v.events <- f:
	case <-ctx.Done():
	}
}

// Run offers a session and keeps it until ctx ends (nil), the camera ends or refuses it, or it breaks.
func (v *Viewer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := v.cfg.Signal.Receive(mailbox(v.handshake.in), func(d signaling.Delivery) bool {
		v.do(ctx, func() error { return v.deliver(d) })
		return true
	})
	defer stop()
	if err := v.connect(ctx); err != nil {
		return err
	}
	defer v.close(cancel)
	v.outbox.open(ctx)
	v.tracks.Go(func() { v.peer.haste.run(ctx, v.peer.pc.AddICECandidate) })
	if err := v.makeOffer(); err != nil {
		return err
	}
	posted := make(chan error, 1)
	v.tracks.Go(func() { posted <- v.postOffer(ctx) })
	patience := time.NewTimer(2 * answerWait) // posting has a limit of its own
	defer patience.Stop()
	ticker := time.NewTicker(challengeEvery)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			v.leaves = true
			return nil
		case f := <-v.events:
			answered := v.records != nil
			err = f()
			if !answered && v.records != nil {
				patience.Reset(connectWait)
			}
		case err = <-posted:
			if v.records != nil {
				err = nil // the camera has it, whatever the relay says
			} else {
				patience.Reset(answerWait)
			}
		case <-ticker.C:
			v.sendChallenge()
			v.tellPackets()
			v.explainer.tick()
			v.puncher.tick(ctx, v.explainer)
		case <-patience.C:
			if v.records == nil {
				err = ErrNoAnswer
			} else if !v.connected {
				err = fmt.Errorf("%w: no way to it was found within %s", ErrLost, connectWait)
			}
		}
		if err != nil {
			return err
		}
	}
}

// connect makes the peer connection and the handlers that feed Run.
func (v *Viewer) connect(ctx context.Context) error {
	p, err := newPeer(ctx, peerConfig{carriers: v.cfg.Carriers, turn: v.cfg.TURN, trust: v.cfg.TLS, relayOnly: v.cfg.RelayOnly, loopback: v.cfg.Loopback, network: v.cfg.network, log: v.cfg.Logger})
	if err != nil {
		return err
	}
	v.peer = p
	if _, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		p.pc.Close()
		return fmt.Errorf("add video transceiver: %w", err)
	}
	ports, closePorts := context.WithCancel(ctx)
	v.closePorts = closePorts
	p.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		v.do(ctx, func() error { return v.candidate(ports, c) })
	})
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		v.do(ctx, func() error { return v.stateChanged(s) })
	})
	p.pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		p.checking(s)
		if s == webrtc.ICEConnectionStateConnected {
			v.do(ctx, func() error { v.phase("checked"); return nil })
		}
	})
	p.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		v.tracks.Go(func() { v.watch(ctx, t) })
	})
	p.data.OnOpen(func() { v.do(ctx, func() error { return v.greet() }) })
	p.data.OnMessage(func(m webrtc.DataChannelMessage) {
		v.do(ctx, func() error { return v.dataArrived(ctx, m.Data) })
	})
	p.pc.SCTP().OnClose(func(error) { v.do(ctx, func() error { return ErrLost }) }) // the camera has gone without a word
	x := newExplainer("viewer", p, v.cfg.TURN, hiding{viewer: v.cfg.RelayOnly})
	x.addresses, x.onPath, x.work, x.do = v.cfg.Addresses, v.cfg.OnPath, &v.tracks, func(f func() error) { v.do(ctx, f) }
	x.tell = func(n network) error { return v.sendData(message{Type: "network", Network: &n}) }
	v.explainer = x
	v.puncher = newPuncher(x, v.sendData, v.cfg.Logger)
	x.run(ctx)
	return nil
}

// watch opens the frames of the first track; a session has one.
func (v *Viewer) watch(ctx context.Context, track *webrtc.TrackRemote) {
	select {
	case o := <-v.opener:
		o.reject = func(what string, err error) {
			v.do(ctx, func() error { v.reject(what, err); return nil })
		}
		whole := &chain{onFrame: o.onFrame, onMissing: func() {
			v.do(ctx, func() error { return v.sendData(message{Type: "keyframe"}) })
		}}
		o.onFrame = whole.take
		o.onLost = func(numbers []uint16) {
			nack := &rtcp.TransportLayerNack{MediaSSRC: uint32(track.SSRC()), Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}
			if err := v.peer.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
				v.cfg.Logger.Debug("ask for packets", "err", err)
			}
		}
		if err := o.run(ctx, track); err != nil && ctx.Err() == nil {
			v.do(ctx, func() error { return fmt.Errorf("%w: read track: %w", ErrLost, err) })
		}
	default:
		v.cfg.Logger.Debug("track without a secret, or a second track: not read")
	}
}

func (v *Viewer) stateChanged(s webrtc.PeerConnectionState) error {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !v.connected {
			v.connected = true
			v.phase("connected")
		}
		v.stall(false)
	case webrtc.PeerConnectionStateDisconnected:
		v.stall(true)
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		return ErrLost
	}
	return nil
}

func (v *Viewer) stall(stalled bool) {
	if v.cfg.OnStall != nil {
		v.cfg.OnStall(stalled)
	}
}

// candidate takes one of this end's; nil: there are no more, but for those of opened ports.
func (v *Viewer) candidate(ctx context.Context, c *webrtc.ICECandidate) error {
	if c == nil {
		v.explainer.gathered()
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
	if v.useless(c) {
		return nil
	}
	return v.sendRecord(candidateMessage(outgoing(c)))
}

// hideToo does what a camera that hides its address is owed: it gets none of ours, and no port of our router's is open for it.
func (v *Viewer) hideToo() {
	v.cameraHides = true
	v.closePorts()
	v.explainer.cameraHides()
}

// useless says whether a candidate is an address of ours that a camera which hides its own does not use: it is not to know it either.
func (v *Viewer) useless(c *webrtc.ICECandidate) bool {
	return c != nil && v.cameraHides && c.Typ != webrtc.ICECandidateTypeRelay
}

func (v *Viewer) sendRecord(m message) error {
	wire, err := v.records.signaling.out.seal(m)
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
	m, err := v.records.data.in.open(wire)
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
			v.cfg.OnStatus(Status{Printable(m.Code), Printable(m.Text)})
		}
	case "sending":
		if v.cfg.OnSending != nil && m.Sending != nil {
			v.cfg.OnSending(*m.Sending)
		}
	case "network":
		v.explainer.heard(m.Network)
	case "punch":
		v.puncher.heard(ctx, v.explainer, m.Punch)
	case "bye":
		return fmt.Errorf("%w: %s", ErrEnded, Printable(m.Reason))
	}
	return nil
}

func (v *Viewer) greet() error {
	err := v.sendData(message{Type: "hello"})
	v.explainer.listened()
	return err
}

func (v *Viewer) sendData(m message) error { return v.peer.send(v.records, m) }

func (v *Viewer) sendChallenge() {
	if v.records == nil || v.peer.data.ReadyState() != webrtc.DataChannelStateOpen {
		return
	}
	c := v.fresh.issue(time.Now())
	if err := v.sendData(message{Type: "challenge", Challenge: c[:]}); err != nil {
		v.cfg.Logger.Debug("send challenge", "err", err)
	}
}

func (v *Viewer) reject(what string, err error) {
	if v.cfg.OnReject != nil {
		v.cfg.OnReject(Rejection{what, err})
	}
}

// tellPackets tells of packets that reached this end and are not the camera's, once a second at most.
func (v *Viewer) tellPackets() {
	if err := v.peer.packets.since(); err != nil {
		v.reject("packet", err)
	}
}

func (v *Viewer) phase(name string) {
	if v.cfg.OnPhase != nil {
		v.cfg.OnPhase(name)
	}
}

func (v *Viewer) close(cancel context.CancelFunc) {
	v.explainer.finish(v.records != nil)
	v.peer.end(v.leaves, v.records, v.outbox, cancel, v.cfg.Logger)
	v.tracks.Wait()
	v.tellPackets()
}
