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
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// ErrOffer is returned by Run for an offer that cannot be answered; nothing has been sent to the viewer.
var ErrOffer = errors.New("the offer cannot be answered")

// ErrNoCarrier is returned for a viewer that can play nothing which this camera makes.
var ErrNoCarrier = errors.New("the viewer can play none of this camera's formats")

// Camera is the camera's end of one session.
type Camera struct {
	cfg     CameraConfig
	id      envelope.SessionID
	offer   *offer
	carrier media.Carrier
	in, out envelope.Mailbox
	outbox  *outbox
	events  chan func() error // run by Run's goroutine, which owns all that follows
	work    sync.WaitGroup

	peer      *peer
	sender    *sender
	explainer *explainer
	puncher   *puncher
	records   *recordKeys // nil until there is a secret
	arrivals  arrivals
	greeted   bool
	told      string // the trouble last told
	live      bool
	leaves    bool // and is not left: it says bye
	ticks     int
}

// NewCamera checks an offer and prepares the session; Run starts it.
func NewCamera(cfg CameraConfig) (*Camera, error) {
	o, err := parseOffer(cfg.Offer.Body)
	if err != nil {
		return nil, err
	}
	c := &Camera{cfg: cfg, id: cfg.Offer.Session, offer: o, events: make(chan func() error, 64)}
	for _, name := range o.Carriers {
		if c.carrier, err = media.ParseCarrier(name); err == nil {
			break
		}
	}
	if c.carrier == 0 && !o.Still {
		return nil, ErrNoCarrier
	}
	c.in = cfg.Pair.SessionMailbox(envelope.ToCamera, c.id)
	c.out = cfg.Pair.SessionMailbox(envelope.ToViewer, c.id)
	c.outbox = newOutbox(cfg.Signal, admitted(c.out, cfg.Ticket), cfg.Logger)
	return c, nil
}

// Watch is the id that the viewer gives all sessions of one person's watching; zero if it gives none.
func (c *Camera) Watch() (id WatchID) {
	copy(id[:], c.offer.Watch)
	return id
}

func (c *Camera) do(ctx context.Context, f func() error) {
	select {
	case c.events <- f:
	case <-ctx.Done():
	}
}

// Run answers the offer and serves the viewer until ctx ends, the viewer leaves (nil), or the connection breaks.
func (c *Camera) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.offer.Still {
		return c.sendStill(ctx)
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
			c.leaves = true
			return nil
		case f := <-c.events:
			err = f()
		case <-ticker.C:
			err = errors.Join(c.tellTrouble(), c.tellSending())
			c.tellPackets()
			c.explainer.tick()
		case <-patience.C:
			if !c.live {
				err = fmt.Errorf("%w: no way to the viewer was found within %s", ErrLost, connectWait)
			}
		}
		if errors.Is(err, errLeft) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errLeft ends Run when the viewer has said goodbye.
var errLeft = errors.New("the viewer left")

// hides says whether this end is to show no address of its own: either end may ask for that.
func (c *Camera) hides() bool { return c.cfg.RelayOnly || c.offer.RelayOnly }

func (c *Camera) connect(ctx context.Context) error {
	pacer := newPacer()
	p, err := newPeer(ctx, peerConfig{carriers: []media.Carrier{c.carrier}, turn: c.offer.TURN, trust: c.cfg.TLS, relayOnly: c.hides(), loopback: c.cfg.Loopback, feedback: pacer.report, network: c.cfg.network, log: c.cfg.Logger})
	if err != nil {
		return err
	}
	track, err := newTrack(c.carrier)
	var rtp *webrtc.RTPSender
	if err == nil {
		rtp, err = p.pc.AddTrack(track)
	}
	if err == nil {
		err = p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.offer.SDP})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOffer, errors.Join(err, p.pc.Close()))
	}
	c.peer = p
	c.sender = newSender(track, pacer, c.carrier, &selection{main: c.cfg.Stream, low: c.cfg.Low}, c.cfg.Logger)
	c.work.Go(func() { c.readRTCP(ctx, rtp) })
	p.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		c.do(ctx, func() error { return c.candidate(ctx, candidate) })
	})
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		c.do(ctx, func() error { return c.stateChanged(ctx, s) })
	})
	p.data.OnOpen(func() { c.do(ctx, func() error { return c.greet() }) })
	p.data.OnMessage(func(m webrtc.DataChannelMessage) {
		c.do(ctx, func() error { return c.dataArrived(ctx, m.Data) })
	})
	p.pc.SCTP().OnClose(func(error) { c.do(ctx, func() error { return errLeft }) }) // without a word
	x := newExplainer("camera", p, c.offer.TURN, hiding{viewer: c.offer.RelayOnly, camera: c.cfg.RelayOnly})
	x.onPath, x.work, x.do = c.cfg.OnPath, &c.work, func(f func() error) { c.do(ctx, f) }
	x.tell = func(n network) error { return c.sendData(message{Type: "network", Network: &n}) }
	c.explainer = x
	c.puncher = newPuncher(x, c.sendData, c.cfg.Logger)
	x.run(ctx)
	return nil
}

func (c *Camera) greet() error {
	err := c.sendData(message{Type: "hello", Name: c.cfg.Name})
	c.explainer.listened()
	return err
}

// readRTCP takes the viewer's reports until the connection closes: retransmissions happen on the way, and a browser that plays
// the track asks for a keyframe by PLI (RFC 4585, section 6.3.1). Behind the vp8 carrier its own decoder does not see the picture,
// so there only the keyframe record counts.
func (c *Camera) readRTCP(ctx context.Context, rtp *webrtc.RTPSender) {
	for {
		packets, _, err := rtp.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack:
				c.sender.miss(p)
			case *rtcp.PictureLossIndication:
				if c.carrier == media.H264Carrier {
					c.do(ctx, func() error { c.sender.again(); return nil })
				}
			}
		}
	}
}

func (c *Camera) deliver(d signaling.Delivery) error {
	if c.arrivals.again(d) {
		return nil
	}
	m, err := c.records.signaling.in.open(d.Body)
	if err != nil {
		if c.reject(err) {
			d.Reject()
		}
		return nil
	}
	c.arrivals.opened(d)
	switch m.Type {
	case "candidate":
		c.peer.addCandidate(m, c.cfg.Logger)
		c.explainer.candidate(m)
	case "bye":
		return errLeft
	}
	return nil
}

// reject says whether a record is foreign, and tells it; a viewer's own fault is no alarm.
func (c *Camera) reject(err error) bool {
	c.cfg.Logger.Debug("session record", "err", err)
	if !foreign(err) {
		return false
	}
	if c.cfg.OnReject != nil {
		c.cfg.OnReject(Rejection{"record", err})
	}
	return true
}

func (c *Camera) dataArrived(ctx context.Context, wire []byte) error {
	m, err := c.records.data.in.open(wire)
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
		c.sender.answerTo(m.Challenge)
	case "keyframe":
		c.sender.again()
	case "network":
		c.explainer.heard(m.Network)
	case "punch":
		c.puncher.heard(ctx, c.explainer, m.Punch)
	case "bye":
		return errLeft
	}
	return nil
}

// candidate takes one of this end's; nil: there are no more, but for those of opened ports.
func (c *Camera) candidate(ctx context.Context, candidate *webrtc.ICECandidate) error {
	if candidate == nil {
		c.explainer.gathered()
	}
	if c.cfg.PortMapper != nil && !c.hides() && !c.cfg.Loopback && opens(candidate) {
		c.work.Go(func() {
			openPort(ctx, c.cfg.PortMapper, *candidate, c.cfg.Logger, func(m *webrtc.ICECandidate) {
				c.do(ctx, func() error { return c.sendCandidate(m) })
			})
		})
	}
	return c.sendCandidate(candidate)
}

func (c *Camera) sendCandidate(candidate *webrtc.ICECandidate) error {
	wire, err := c.records.signaling.out.seal(candidateMessage(outgoing(candidate)))
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
			c.work.Go(func() { c.sender.run(ctx) })
		}
	case webrtc.PeerConnectionStateDisconnected:
		if c.cfg.OnStall != nil {
			c.cfg.OnStall()
		}
	case webrtc.PeerConnectionStateClosed: // DTLS said goodbye
		return errLeft
	case webrtc.PeerConnectionStateFailed:
		return ErrLost
	}
	return nil
}

// tellPackets tells of media that reached this end and is not the viewer's, which sends none but reports.
func (c *Camera) tellPackets() {
	if err := c.peer.packets.since(); err != nil && c.cfg.OnReject != nil {
		c.cfg.OnReject(Rejection{"packet", err})
	}
}

// tellTrouble says once what changed about the picture's troubles.
func (c *Camera) tellTrouble() error {
	trouble := c.sender.trouble()
	if state := c.cfg.Stream.State(); !state.Live {
		trouble = state.String()
	}
	if trouble == c.told || !c.greeted {
		return nil
	}
	c.told = trouble
	code := "trouble"
	if trouble == "" {
		code = "ok"
	}
	return c.sendData(message{Type: "status", Code: code, Text: trouble})
}

func (c *Camera) sendData(m message) error { return c.peer.send(c.records, m) }

func (c *Camera) close(cancel context.CancelFunc) {
	c.explainer.finish(c.records != nil)
	c.peer.end(c.leaves, c.records, c.outbox, cancel, c.cfg.Logger)
	c.work.Wait()
}
