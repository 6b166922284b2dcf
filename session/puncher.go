package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
	"github.com/peephole-cam/peephole/internal/punch"
)

// punchAfter is how long the media has been on the relay before ports are guessed: ICE finds what it can find in less.
const punchAfter = 2 * time.Second

// punchSide is what an end tells the other when ports shall be guessed, in a record (doc/protocol.md, section 6.4).
type punchSide struct {
	At     netip.AddrPort `json:"at"`
	Ports  punch.Ports    `json:"ports"`
	Stride uint16         `json:"stride,omitempty"`
	Token  blob           `json:"token"`
}

// puncher has a hole made by guessing ports where ICE has found none, once in a session. Run's goroutine owns it.
type puncher struct {
	sockets *punch.Sockets // nil: this end guesses nothing
	urls    []string       // of the relay
	asks    bool           // this end, the viewer's, says when
	tell    func(message) error
	found   func(netip.AddrPort)
	do      func(func() error)
	work    *sync.WaitGroup
	log     *slog.Logger

	step  punchStep
	own   punch.Way
	other punchSide
	token punch.Token // that the other end's probes are to carry
}

type punchStep int

const (
	punchIdle      punchStep = iota
	punchMeasuring           // this end's NAT
	punchAsked               // the other end was told, and has not answered
	punchOver                // it runs, or has run, or will not
)

// newPuncher is for an end that is explained by x; the viewer's asks.
func newPuncher(x *explainer, tell func(message) error, log *slog.Logger) *puncher {
	p := &puncher{asks: x.known.Role == "viewer", sockets: x.peer.sockets, urls: x.urls, tell: tell, do: x.do, work: x.work, log: log}
	p.found = func(a netip.AddrPort) { x.peer.addCandidate(punched(a), log) }
	x.able = p.sockets != nil
	return p
}

// worth says whether guessing may help: a session is relayed because of what a NAT does to ports.
func worth(e *Explain) bool {
	own, other := e.Own, e.Other
	if e.Selected == nil || !e.Selected.Rung.relayed() || e.RelayOnly || e.CameraRelayOnly || own.UDP != udpOpen || other.UDP != udpOpen {
		return false
	}
	known := own.Mapping != nat.UnknownMapping && other.Mapping != nat.UnknownMapping
	return known && (own.Mapping.Symmetric() || other.Mapping.Symmetric())
}

// tick begins when it is time.
func (p *puncher) tick(ctx context.Context, x *explainer) {
	if p.step == punchIdle && p.asks && p.sockets != nil && x.otherAble && worth(&x.known) && time.Since(x.changed) >= punchAfter {
		p.measure(ctx)
	}
}

func (p *puncher) measure(ctx context.Context) {
	p.step = punchMeasuring
	rand.Read(p.token[:])
	p.work.Go(func() {
		limited, cancel := context.WithTimeout(ctx, probeWait)
		defer cancel()
		way, err := p.sockets.Measure(limited, stunServers(limited, p.urls))
		p.do(func() error { return p.measured(ctx, way, err) })
	})
}

// measured tells the other end what was found out; the one that was asked then begins.
func (p *puncher) measured(ctx context.Context, way punch.Way, err error) error {
	if err != nil || !way.Side.Valid() {
		p.log.Debug("guess ports", "err", err)
		p.step = punchOver
		return nil
	}
	p.own = way
	own := punchSide{way.Side.At, way.Side.Ports, way.Side.Stride, p.token[:]}
	if p.asks {
		p.step = punchAsked
	} else {
		p.run(ctx)
	}
	return p.tell(message{Type: "punch", Punch: &own})
}

// heard takes what the other end says: the viewer's asks, the camera's answers if it sees the same need.
func (p *puncher) heard(ctx context.Context, x *explainer, other *punchSide) {
	switch {
	case other == nil || p.sockets == nil:
	case p.step == punchIdle && !p.asks && worth(&x.known):
		p.other = *other
		p.measure(ctx)
	case p.step == punchAsked:
		p.other = *other
		p.run(ctx)
	}
}

func (p *puncher) run(ctx context.Context) {
	p.step = punchOver
	other := punch.Side{At: p.other.At, Ports: p.other.Ports, Stride: p.other.Stride}
	if len(p.other.Token) != punch.TokenSize || !punch.Possible(p.own.Side, other) {
		p.log.Debug("guess ports: nothing to hope for", "own", p.own.Side.Ports, "other", other.Ports)
		return
	}
	r := punch.Run{Own: p.own, Other: other, First: p.asks, Send: punch.Token(p.other.Token), Want: p.token}
	p.work.Go(func() {
		peer, err := r.Do(ctx)
		if err != nil {
			p.log.Debug("guess ports", "err", err)
			return
		}
		p.do(func() error { p.found(peer); return nil })
	})
}

// punched is the candidate of the other end that a hole leads to: an address in the world, and no more is known of it. ICE checks it as any
// other.
func punched(a netip.AddrPort) message {
	return message{Type: "candidate", Mid: "0",
		Candidate: fmt.Sprintf("candidate:punched 1 udp %d %s %d typ srflx raddr 0.0.0.0 rport 9", mappedPriority, a.Addr(), a.Port())}
}
