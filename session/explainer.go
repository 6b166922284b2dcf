package session

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/internal/nat"
)

const (
	// settling is how long after its start a session looks at its path every second: by then all that was tried has come
	// or will not.
	settling = 30 * time.Second
	// lookEvery is how often it looks later: numbers change, and the path with a word of its own.
	lookEvery = 10 * time.Second
	// finishWait is how long a look under way may hold up a session's end.
	finishWait = time.Second
)

// explainer keeps what one end knows about the session's path, and tells when that changes. Run's goroutine owns it.
type explainer struct {
	peer      *peer
	addresses bool                // they are wanted
	tell      func(network) error // tells the other end of this end's network
	onPath    func(Path)          // may be nil
	do        func(func() error)  // hands a function to Run's goroutine
	work      *sync.WaitGroup     // what may outlive a call
	able      bool                // this end can guess ports

	start     time.Time
	urls      []string        // of the relay
	ready     bool            // the other end listens: this end's hello is on its way
	known     Explain         // but for what the agent is asked
	probed    bool            // the relay was asked over UDP
	open      bool            // and answered
	asking    bool            // the agent is being asked
	again     bool            // and shall be once more
	read      chan statistics // its answer
	seen      statistics      // the last
	looked    time.Time       // when it was asked last
	changed   time.Time       // when the selected pair last did
	sent      network         // what the other end was told
	otherAble bool            // the other end can guess ports
	last      Path            // what onPath was told
}

// hiding is who asked to show no address but the relay's.
type hiding struct{ viewer, camera bool }

func newExplainer(role string, p *peer, turn *TURN, hides hiding) *explainer {
	x := &explainer{peer: p, start: time.Now(), probed: true, read: make(chan statistics, 1)}
	unknown := End{Mapping: nat.UnknownMapping, UDP: udpUnknown, Candidates: map[string]int{}}
	x.known = Explain{Role: role, RelayOnly: hides.viewer, CameraRelayOnly: hides.camera, Own: unknown, Other: unknown, Checks: []Checks{}, Rungs: []Reached{}}
	if turn != nil && hides == (hiding{}) { // who hides its address asks nobody but by TURN
		x.urls, x.probed = turn.URLs, false
	}
	return x
}

// run follows the agent, and finds out about the NAT.
func (x *explainer) run(ctx context.Context) {
	x.peer.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		now := time.Now()
		x.do(func() error { x.selected(now); return nil })
	})
	if x.probed {
		return
	}
	x.work.Go(func() {
		mapping, answered := probe(ctx, x.urls)
		x.do(func() error {
			x.known.Own.Mapping, x.probed, x.open = mapping, true, answered
			x.look()
			return nil
		})
	})
}

// cameraHides: the camera's answer says so.
func (x *explainer) cameraHides() { x.known.CameraRelayOnly = true }

// listened: this end's hello has been sent, and what follows it will be heard.
func (x *explainer) listened() {
	x.ready = true
	x.look()
}

// gathered: this end has no more candidates.
func (x *explainer) gathered() {
	x.known.Own.Complete = true
	x.look()
}

// candidate takes note of one of the other end's; an empty one ends them.
func (x *explainer) candidate(m message) {
	if m.Candidate == "" {
		x.known.Other.Complete = true
		x.look()
	}
}

// heard takes what the other end says of its network.
func (x *explainer) heard(n *network) {
	if n == nil {
		return
	}
	p, other := n.plausible(), &x.known.Other
	other.Mapping, other.UDP, other.Relay, x.otherAble = p.Mapping, p.UDP, p.Relay, p.Punch
	x.look()
}

// selected: the media takes another pair from now on.
func (x *explainer) selected(at time.Time) {
	x.changed = at
	x.look()
}

// tick looks again while there may be something to see, and now and then later.
func (x *explainer) tick() {
	if time.Since(x.start) < settling || time.Since(x.looked) > lookEvery {
		x.look()
	}
}

// look asks the agent what there is. It does so beside Run's goroutine, since the agent may be waiting for the network.
func (x *explainer) look() {
	if x.asking {
		x.again = true
		return
	}
	x.asking, x.again, x.looked = true, false, time.Now()
	selected := !x.changed.IsZero()
	x.work.Go(func() {
		x.read <- readStatistics(x.peer.pc, selected)
		x.do(x.taken)
	})
}

// taken takes what a look brought.
func (x *explainer) taken() error {
	x.asking = false
	err := x.take(<-x.read)
	if x.again {
		x.look()
	}
	return err
}

// take explains what the agent said, and tells what is new.
func (x *explainer) take(s statistics) error {
	x.seen = s
	e := x.explain(s)
	if x.onPath != nil && e.Selected != nil && (e.Sentence != x.last.Why || x.last.Explain.Selected == nil || e.Selected.Rung != x.last.Explain.Selected.Rung) {
		x.last = newPath(e)
		x.onPath(x.last)
	}
	now := network{Mapping: e.Own.Mapping, UDP: e.Own.UDP, Relay: e.Own.Relay, Punch: x.able}
	if e.Selected != nil && e.Selected.Rung.relayed() {
		now.Relay = cmp.Or(s.ours[s.local].relayWay, now.Relay)
	}
	if now == x.sent || !x.ready {
		return nil
	}
	x.sent = now
	return x.tell(now)
}

// explain adds what the agent said to what is known.
func (x *explainer) explain(s statistics) Explain {
	s.fill(&x.known)
	x.known.Age = milliseconds(time.Since(x.start).Seconds())
	own := &x.known.Own
	switch {
	case x.open || own.Relay == "udp" || own.some("srflx4", "srflx6"):
		own.UDP = udpOpen
	case x.probed && own.Complete && own.Relay != "":
		own.UDP = udpBlocked
	}
	if sel := x.known.Selected; sel != nil {
		if n := len(x.known.Rungs); n == 0 || x.known.Rungs[n-1].Rung != sel.Rung && n < maxRungs {
			x.known.Rungs = append(x.known.Rungs, Reached{sel.Rung, milliseconds(x.changed.Sub(x.start).Seconds())})
		}
	}
	x.known.conclude()
	e := x.known
	e.Rungs = append([]Reached{}, e.Rungs...)
	if x.addresses {
		e.Addresses = s.addresses()
	}
	return e
}

// finish tells how it was in the end, also of a session that found no path. Run's goroutine does nothing else any more, and the
// connection may be closed.
func (x *explainer) finish(found bool) {
	timer := time.NewTimer(finishWait)
	defer timer.Stop()
	if x.asking { // to close a connection while pion looks at it is a race in pion
		select {
		case x.seen = <-x.read:
		case <-timer.C: // the agent waits for the network
		}
	}
	if found && x.onPath != nil {
		x.onPath(newPath(x.explain(x.seen)))
	}
}
