package path

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/turnclient"
)

const (
	// settling is how long a session looks at its path every second. By then, every way that was tried either works or
	// never will.
	settling = 30 * time.Second
	// lookEvery is how often it looks later. Only numbers change unnoticed; a new path is reported at once.
	lookEvery = 10 * time.Second
	// finishWait is how long a look at the path may delay a session's end.
	finishWait = time.Second
)

// ExplainerConfig is what an explainer needs.
type ExplainerConfig struct {
	Role      string // "viewer" or "camera"
	PC        *webrtc.PeerConnection
	Servers   []string                      // URLs of TURN and STUN servers; may be empty
	Region    *Region                       // of these servers; nil if there was no choice
	Hides     Hiding                        // which ends asked to hide
	Addresses bool                          // put addresses into explanations too
	CanPunch  bool                          // this end can guess ports
	Tell      func(handshake.Network) error // tells the other end about this end's network
	OnPath    func(Path)                    // may be nil
	Do        func(func() error)            // hands a function to the goroutine that owns the explainer
	Work      *sync.WaitGroup               // waits for the goroutines that the explainer starts
}

// Hiding holds which ends asked to show no address except the relay's.
type Hiding struct{ Viewer, Camera bool }

// Explainer collects what one end knows about the session's path, and reports changes. The goroutine to which Do hands
// functions owns it.
type Explainer struct {
	cfg ExplainerConfig

	start      time.Time
	ready      bool              // the other end listens, because this end's hello is on its way
	known      Explain           // what is known; the agent's statistics are added by explain
	probed     bool              // this end asked the relay over UDP, which had its time to answer
	open       bool              // the relay answered over UDP
	asking     bool              // a goroutine is asking the agent
	again      bool              // ask the agent once more after that
	read       chan iceStats     // the agent's answer
	seen       iceStats          // the agent's last answer
	looked     time.Time         // when this end last asked the agent
	changed    time.Time         // when the selected pair last changed
	sent       handshake.Network // what this end last told the other end
	otherPunch bool              // the other end can guess ports
	last       Path              // the last path that OnPath got
}

func NewExplainer(cfg ExplainerConfig) *Explainer {
	unknown := End{Mapping: nat.UnknownMapping, UDP: handshake.UDPUnknown, Candidates: map[string]int{}}
	return &Explainer{
		cfg:    cfg,
		start:  time.Now(),
		probed: !cfg.probes(),
		read:   make(chan iceStats, 1),
		known: Explain{
			Role:            cfg.Role,
			RelayOnly:       cfg.Hides.Viewer,
			CameraRelayOnly: cfg.Hides.Camera,
			NoRelay:         !turnclient.Relays(cfg.Servers),
			Region:          cfg.Region,
			Own:             unknown,
			Other:           unknown,
			Checks:          []Checks{},
			Types:           []Reached{},
		},
	}
}

// probes reports whether to ask the servers over UDP how they see this end. An end that hides its address uses only
// TURN.
func (c ExplainerConfig) probes() bool { return len(c.Servers) > 0 && c.Hides == (Hiding{}) }

// Run starts to follow the agent, and to find out about the NAT.
func (x *Explainer) Run(ctx context.Context) {
	x.cfg.PC.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		now := time.Now()
		x.cfg.Do(func() error { x.selected(now); return nil })
	})
	if x.probed {
		return
	}

	x.cfg.Work.Go(func() {
		var delay clock.SchedulingDelay
		measuring, stop := context.WithCancel(ctx)
		defer stop()
		x.cfg.Work.Go(func() { delay.Run(measuring) })

		began := time.Now()
		mapping, answered := probe(ctx, x.cfg.Servers)
		waited := delay.Since(began)
		x.cfg.Do(func() error {
			x.learn(mapping, answered, waited)
			x.look()
			return nil
		})
	})
}

// learn notes what this end learned by asking the relay over UDP. If this process waited for a processor meanwhile, an
// answer may have come too late, so its absence proves nothing.
func (x *Explainer) learn(mapping nat.Mapping, answered bool, waited time.Duration) {
	x.known.Own.Mapping, x.open = mapping, answered
	x.probed = answered || waited < ProbeWait/4
}

// CameraHides notes that the camera hides its address, as its answer says.
func (x *Explainer) CameraHides() { x.known.CameraRelayOnly = true }

// Listened notes that this end has sent its hello, so the other end hears what follows.
func (x *Explainer) Listened() {
	x.ready = true
	x.look()
}

// Gathered notes that this end has no more candidates.
func (x *Explainer) Gathered() {
	x.known.Own.Complete = true
	x.look()
}

// OtherCandidate notes a candidate of the other end. An empty one means that no more will come.
func (x *Explainer) OtherCandidate(candidate string) {
	if candidate == "" {
		x.known.Other.Complete = true
		x.look()
	}
}

// Heard notes what the other end says about its network.
func (x *Explainer) Heard(n *handshake.Network) {
	if n == nil {
		return
	}
	p, other := n.Plausible(), &x.known.Other
	other.Mapping, other.UDP, other.Relay, x.otherPunch = p.Mapping, p.UDP, p.Relay, p.Punch
	x.look()
}

// selected notes that the media takes another pair from now on.
func (x *Explainer) selected(at time.Time) {
	x.changed = at
	x.look()
}

// Tick looks at the path again: often while it is likely to change, and now and then later.
func (x *Explainer) Tick() {
	if time.Since(x.start) < settling || time.Since(x.looked) > lookEvery {
		x.look()
	}
}

// look asks the agent for its statistics. It does so on another goroutine, because the agent may wait for the network.
func (x *Explainer) look() {
	if x.asking {
		x.again = true
		return
	}
	x.asking, x.again, x.looked = true, false, time.Now()
	selected := !x.changed.IsZero()
	x.cfg.Work.Go(func() {
		x.read <- readStats(x.cfg.PC, selected)
		x.cfg.Do(x.endLook)
	})
}

// endLook handles the agent's answer.
func (x *Explainer) endLook() error {
	x.asking = false
	err := x.tellNews(<-x.read)
	if x.again {
		x.look()
	}
	return err
}

// tellNews makes an explanation of the agent's answer, and reports what is new.
func (x *Explainer) tellNews(s iceStats) error {
	x.seen = s
	e := x.explain(s)
	if x.cfg.OnPath != nil && e.Selected != nil && (e.Summary != x.last.Why || e.Selected.Type != x.last.Type()) {
		x.last = newPath(e)
		x.cfg.OnPath(x.last)
	}

	now := handshake.Network{Mapping: e.Own.Mapping, UDP: e.Own.UDP, Relay: e.Own.Relay, Punch: x.cfg.CanPunch}
	if e.Selected != nil && e.Selected.Type.relayed() {
		now.Relay = cmp.Or(s.ours[s.local].relayWay, now.Relay)
	}
	if now == x.sent || !x.ready {
		return nil
	}

	x.sent = now
	return x.cfg.Tell(now)
}

// SoFar returns what is known so far.
func (x *Explainer) SoFar() Explain { return x.known }

// PunchDue reports whether it is time to guess ports. It is if what a NAT does to ports has kept the session on the
// relay for that long, and the other end can guess too.
func (x *Explainer) PunchDue(after time.Duration) bool {
	return x.otherPunch && x.WorthPunching() && time.Since(x.changed) >= after
}

// WorthPunching reports whether guessing ports may help.
func (x *Explainer) WorthPunching() bool { return x.known.worthPunching() }

// explain adds the agent's statistics to what is known.
func (x *Explainer) explain(s iceStats) Explain {
	s.fill(&x.known)
	x.known.Age = milliseconds(time.Since(x.start).Seconds())
	own := &x.known.Own
	switch {
	case x.open || own.Relay == "udp" || own.some("srflx4", "srflx6"):
		own.UDP = handshake.UDPOpen
	case x.probed && own.Complete && own.Relay != "":
		own.UDP = handshake.UDPBlocked
	}

	if sel := x.known.Selected; sel != nil {
		if n := len(x.known.Types); n == 0 || x.known.Types[n-1].Type != sel.Type && n < maxTypes {
			x.known.Types = append(x.known.Types, Reached{sel.Type, milliseconds(x.changed.Sub(x.start).Seconds())})
		}
	}

	x.known.conclude()
	e := x.known
	e.Types = append([]Reached{}, e.Types...)
	if x.cfg.Addresses {
		e.Addresses = s.addresses()
	}

	return e
}

// Finish reports the last state, even if there was no path. After it, nothing else may run on the owning goroutine, and
// the connection may be closed.
func (x *Explainer) Finish(found bool) {
	timer := time.NewTimer(finishWait)
	defer timer.Stop()
	if x.asking { // closing a connection while pion reads its statistics is a race in pion
		select {
		case x.seen = <-x.read:
		case <-timer.C: // the agent is waiting for the network
		}
	}

	if found && x.cfg.OnPath != nil {
		x.cfg.OnPath(newPath(x.explain(x.seen)))
	}
}
