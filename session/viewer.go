package session

import (
	"context"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
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
		inbox:    handshake.NewInbox(cfg.OnReply),
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

func (v *Viewer) sendCandidate(c *webrtc.ICECandidate) error {
	if v.records == nil {
		v.pending = append(v.pending, c)
		return nil
	}
	if v.useless(c) || !v.peer.offered.offers(c) {
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

func (v *Viewer) sendData(m handshake.Message) error { return v.peer.send(v.records, m) }

func (v *Viewer) reject(what string, err error) {
	if v.cfg.OnReject != nil {
		v.cfg.OnReject(Rejection{what, err})
	}
}

func (v *Viewer) phase(name string) {
	if v.cfg.OnPhase != nil {
		v.cfg.OnPhase(name)
	}
}
