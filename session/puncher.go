package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat/punch"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// punchAfter is how long the media must have been on the relay before an end guesses ports. ICE needs less time than
// that to find what it can find.
const punchAfter = 2 * time.Second

// punchSituation is what a puncher asks about the session's path. *path.Explainer implements it.
type punchSituation interface {
	// PunchDue reports whether the media has been on the relay for long enough to guess ports.
	PunchDue(after time.Duration) bool
	// WorthPunching reports whether guessing ports may help.
	WorthPunching() bool
}

// puncher punches a hole by guessing ports, once in a session, if ICE has found no direct path. Run's goroutine owns
// it.
type puncher struct {
	sockets *punch.Sockets // nil if this end guesses nothing
	servers []string       // URLs of TURN and STUN servers
	asks    bool           // this is the viewer's end, which decides when to punch
	tell    func(handshake.Message) error
	found   func(netip.AddrPort)
	do      func(func() error)
	work    *sync.WaitGroup
	log     *slog.Logger

	step  punchStep
	own   punch.Way
	other handshake.PunchSide
	token punch.Token // the other end's probes must carry it
}

type punchStep int

const (
	punchIdle      punchStep = iota
	punchMeasuring           // this end measures its NAT
	punchAsked               // this end has asked, and the other has not answered
	punchOver                // guessing runs, or has run, or never will
)

// newPuncher returns the puncher of an end whose agent has these sockets. check makes the agent check a candidate. The
// viewer's end asks.
func newPuncher(sockets *punch.Sockets, check func(handshake.Message), asks bool, servers []string,
	tell func(handshake.Message) error, do func(func() error), work *sync.WaitGroup, log *slog.Logger) *puncher {
	return &puncher{
		sockets: sockets,
		servers: servers,
		asks:    asks,
		tell:    tell,
		found:   func(a netip.AddrPort) { check(punched(a)) },
		do:      do,
		work:    work,
		log:     log,
	}
}

// tick starts measuring this end's NAT when it is time to guess ports.
func (p *puncher) tick(ctx context.Context, x punchSituation) {
	if p.step == punchIdle && p.asks && p.sockets != nil && x.PunchDue(punchAfter) {
		p.measure(ctx)
	}
}

func (p *puncher) measure(ctx context.Context) {
	p.step = punchMeasuring
	rand.Read(p.token[:])
	p.work.Go(func() {
		limited, cancel := context.WithTimeout(ctx, path.ProbeWait)
		defer cancel()
		way, err := p.sockets.Measure(limited, turnclient.STUNServers(limited, p.servers))
		p.do(func() error { return p.measured(ctx, way, err) })
	})
}

// measured tells the other end the result of measuring. The end that was asked starts guessing as well.
func (p *puncher) measured(ctx context.Context, way punch.Way, err error) error {
	if err != nil || !way.Side.Valid() {
		p.log.Debug("guess ports", "err", err)
		p.step = punchOver
		return nil
	}

	p.own = way
	own := handshake.PunchSide{
		At:     way.Side.At,
		Ports:  way.Side.Ports,
		Stride: way.Side.Stride,
		Token:  p.token[:],
	}

	if p.asks {
		p.step = punchAsked
	} else {
		p.run(ctx)
	}

	return p.tell(handshake.Message{Type: "punch", Punch: &own})
}

// heard handles the other end's message: the viewer's end asks, and the camera's end answers if it sees the same need.
func (p *puncher) heard(ctx context.Context, x punchSituation, other *handshake.PunchSide) {
	switch {
	case other == nil || p.sockets == nil:
	case p.step == punchIdle && !p.asks && x.WorthPunching():
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
		p.log.Debug("guess ports: cannot succeed", "own", p.own.Side.Ports, "other", other.Ports)
		return
	}

	r := punch.Run{
		Own:   p.own,
		Other: other,
		First: p.asks,
		Send:  punch.Token(p.other.Token),
		Want:  p.token,
	}

	p.work.Go(func() {
		peer, err := r.Do(ctx)
		if err != nil {
			p.log.Debug("guess ports", "err", err)
			return
		}
		p.do(func() error { p.found(peer); return nil })
	})
}

// punched returns the other end's candidate to which a hole leads. Only its address is known, and ICE checks it like
// any other candidate.
func punched(a netip.AddrPort) handshake.Message {
	return handshake.Message{Type: "candidate", Mid: "0",
		Candidate: fmt.Sprintf("candidate:punched 1 udp %d %s %d typ srflx raddr 0.0.0.0 rport 9", mappedPriority,
			a.Addr(), a.Port())}
}
