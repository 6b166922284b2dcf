package session

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
	"github.com/peephole-cam/peephole/internal/punch"
)

// relayedFor is what is known of a session that two NATs keep on the relay.
func relayedFor(own, other nat.Mapping) Explain {
	e := Explain{Role: "viewer", Selected: &Selected{Rung: RelayUDP}}
	e.Own, e.Other = End{Mapping: own, UDP: udpOpen}, End{Mapping: other, UDP: udpOpen}
	return e
}

// Ports are guessed for sessions that are relayed because of what a NAT does to ports, and for no others.
func TestWorth(t *testing.T) {
	change := func(f func(*Explain)) Explain {
		e := relayedFor(nat.EndpointIndependent, nat.AddressAndPortDependent)
		f(&e)
		return e
	}
	for _, tt := range []struct {
		name string
		e    Explain
		want bool
	}{
		{"theirs is symmetric", change(func(*Explain) {}), true},
		{"ours is", relayedFor(nat.AddressDependent, nat.NoMapping), true},
		{"both are", relayedFor(nat.AddressAndPortDependent, nat.AddressAndPortDependent), true},
		{"neither is", relayedFor(nat.EndpointIndependent, nat.EndpointIndependent), false},
		{"theirs is unknown", relayedFor(nat.AddressAndPortDependent, nat.UnknownMapping), false},
		{"ours is unknown", relayedFor(nat.UnknownMapping, nat.AddressAndPortDependent), false},
		{"direct", change(func(e *Explain) { e.Selected.Rung = Direct }), false},
		{"no path", change(func(e *Explain) { e.Selected = nil }), false},
		{"hidden", change(func(e *Explain) { e.RelayOnly = true }), false},
		{"the camera hides", change(func(e *Explain) { e.CameraRelayOnly = true }), false},
		{"no UDP here", change(func(e *Explain) { e.Own.UDP = udpBlocked }), false},
		{"no UDP there", change(func(e *Explain) { e.Other.UDP = udpUnknown }), false},
	} {
		if got := worth(&tt.e); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// guesser is a puncher of either end, and what it tells.
type guesser struct {
	*puncher
	told []message
	work sync.WaitGroup
	next chan func() error
}

func newGuesser(role string) *guesser {
	g := &guesser{next: make(chan func() error, 4)}
	x := &explainer{peer: &peer{sockets: punch.NewSockets()}, known: Explain{Role: role}, work: &g.work, do: func(f func() error) { g.next <- f }}
	g.puncher = newPuncher(x, func(m message) error { g.told = append(g.told, m); return nil }, quiet())
	return g
}

func way(at string, p punch.Ports) punch.Way {
	return punch.Way{Side: punch.Side{At: netip.MustParseAddrPort(at), Ports: p}}
}

// The viewer's end asks, when it is time and the camera's can, once; the camera's measures when it is asked and not before.
func TestWhoAsks(t *testing.T) {
	long := time.Now().Add(-time.Minute)
	for _, tt := range []struct {
		name  string
		role  string
		able  bool
		since time.Time
		want  bool
	}{
		{"it is time", "viewer", true, long, true},
		{"too early", "viewer", true, time.Now(), false},
		{"a page", "viewer", false, long, false},
		{"the camera's", "camera", true, long, false},
	} {
		g := newGuesser(tt.role)
		x := &explainer{known: relayedFor(nat.EndpointIndependent, nat.AddressAndPortDependent), otherAble: tt.able, changed: tt.since}
		for range 3 {
			g.tick(t.Context(), x)
		}
		g.work.Wait()
		if n := len(g.next); n > 1 || n == 1 != tt.want {
			t.Errorf("%s: measured %d times", tt.name, n)
		}
		if tt.want {
			if err := (<-g.next)(); err != nil || g.step != punchOver || len(g.told) != 0 { // it has no socket, and so no answer
				t.Errorf("%s: %v, step %v, told %v", tt.name, err, g.step, g.told)
			}
		}
	}
}

// What an end was told counts only at its step, and nothing runs that has no hope.
func TestHeard(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a run ends at once
	x := &explainer{known: relayedFor(nat.EndpointIndependent, nat.AddressAndPortDependent)}
	good := &punchSide{At: netip.MustParseAddrPort("203.0.113.7:40000"), Ports: punch.Random, Token: fresh(punch.TokenSize)}
	v := newGuesser("viewer")
	v.heard(ctx, x, good)
	if v.step != punchIdle || len(v.next) > 0 {
		t.Error("a viewer's end that has not asked takes an answer")
	}
	if err := v.measured(ctx, punch.Way{}, errors.New("silent")); err != nil || v.step != punchOver || len(v.told) > 0 {
		t.Errorf("%v: an end that knows nothing of its NAT asks", err)
	}
	v = newGuesser("viewer")
	if err := v.measured(ctx, way("198.51.100.7:50000", punch.Steady), nil); err != nil || v.step != punchAsked || len(v.told) != 1 || v.told[0].Type != "punch" || len(v.told[0].Punch.Token) != punch.TokenSize {
		t.Errorf("%v: told %+v", err, v.told)
	}
	for _, bad := range []*punchSide{nil, {At: good.At, Ports: good.Ports}, {At: good.At, Ports: "even", Token: good.Token},
		{At: netip.MustParseAddrPort("224.0.0.1:5000"), Ports: good.Ports, Token: good.Token}, {At: good.At, Ports: punch.Steady, Token: good.Token}} {
		v.step = punchAsked
		v.heard(ctx, x, bad)
		v.work.Wait()
		if want := punchOver; bad != nil && v.step != want || len(v.next) > 0 {
			t.Errorf("%+v: step %v", bad, v.step)
		}
	}
	c := newGuesser("camera")
	c.heard(ctx, &explainer{known: relayedFor(nat.EndpointIndependent, nat.NoMapping)}, good)
	if c.step != punchIdle {
		t.Error("the camera's end guesses where there is no need")
	}
	c.heard(ctx, x, good)
	c.heard(ctx, x, good)
	c.work.Wait()
	if len(c.next) != 1 || c.step != punchMeasuring {
		t.Errorf("the camera's end measured %d times", len(c.next))
	}
	deaf := newGuesser("camera")
	deaf.sockets = nil
	deaf.heard(ctx, x, good)
	if deaf.step != punchIdle {
		t.Error("an end that hides takes part")
	}
}

// A hole is told of to ICE as a candidate that names nothing inside.
func TestPunchedCandidate(t *testing.T) {
	m := punched(netip.MustParseAddrPort("203.0.113.7:50001"))
	const want = "candidate:punched 1 udp 1694498559 203.0.113.7 50001 typ srflx raddr 0.0.0.0 rport 9"
	if m.Candidate != want || m.Mid != "0" {
		t.Errorf("got  %q\nwant %q", m.Candidate, want)
	}
}
