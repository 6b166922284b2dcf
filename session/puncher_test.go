package session

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/nat/punch"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// guesser is the puncher of one end, with what it tells the other end.
type guesser struct {
	*puncher
	told []handshake.Message
	work sync.WaitGroup
	next chan func() error
}

func newGuesser(role string) *guesser {
	g := &guesser{next: make(chan func() error, 4)}
	tell := func(m handshake.Message) error { g.told = append(g.told, m); return nil }
	do := func(f func() error) { g.next <- f }
	check := func(handshake.Message) {}
	g.puncher = newPuncher(punch.NewSockets(), check, role == "viewer", nil, tell, do, &g.work, quiet())
	return g
}

// situation answers a puncher's questions about the path: whether it is time to guess ports, and whether that is worth
// it.
type situation struct{ due, worth bool }

func (s situation) PunchDue(time.Duration) bool { return s.due }
func (s situation) WorthPunching() bool         { return s.worth }

func way(at string, p punch.Ports) punch.Way {
	return punch.Way{Side: punch.Side{At: netip.MustParseAddrPort(at), Ports: p}}
}

// The viewer's end asks once, when it is time. The camera's end does not ask.
func TestViewersEndAsksToPunch(t *testing.T) {
	for _, tt := range []struct {
		name string
		role string
		due  bool
		want bool
	}{
		{"it is time", "viewer", true, true},
		{"too early", "viewer", false, false},
		{"the camera's", "camera", true, false},
	} {
		g := newGuesser(tt.role)
		x := situation{due: tt.due, worth: true}
		for range 3 {
			g.tick(t.Context(), x)
		}

		g.work.Wait()
		if n := len(g.next); n > 1 || n == 1 != tt.want {
			t.Errorf("%s: measured %d times", tt.name, n)
		}
		if tt.want {
			// the guesser has no socket, so measuring fails
			if err := (<-g.next)(); err != nil || g.step != punchOver || len(g.told) != 0 {
				t.Errorf("%s: %v, step %v, told %v", tt.name, err, g.step, g.told)
			}
		}
	}
}

// A message counts only at its step, and an end does not start to guess if it cannot succeed.
func TestPunchMessagesCountOnlyAtTheirStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that a run ends at once
	x := situation{worth: true}
	good := &handshake.PunchSide{
		At:    netip.MustParseAddrPort("203.0.113.7:40000"),
		Ports: punch.Random,
		Token: sessiontest.Random(punch.TokenSize),
	}

	v := newGuesser("viewer")
	v.heard(ctx, x, good)
	if v.step != punchIdle || len(v.next) > 0 {
		t.Error("a viewer's end accepts an answer although it has not asked")
	}

	if err := v.measured(ctx, punch.Way{}, errors.New("silent")); err != nil || v.step != punchOver || len(v.told) > 0 {
		t.Errorf("%v: an end asks although it knows nothing about its NAT", err)
	}
	v = newGuesser("viewer")
	if err := v.measured(ctx, way("198.51.100.7:50000", punch.Steady),
		nil); err != nil || v.step != punchAsked || len(v.told) != 1 || v.told[0].Type != "punch" ||
		len(v.told[0].Punch.Token) != punch.TokenSize {
		t.Errorf("%v: told %+v", err, v.told)
	}

	for _, bad := range []*handshake.PunchSide{nil, {At: good.At, Ports: good.Ports}, {
		At:    good.At,
		Ports: "even",
		Token: good.Token,
	},
		{
			At:    netip.MustParseAddrPort("224.0.0.1:5000"),
			Ports: good.Ports,
			Token: good.Token,
		}, {At: good.At, Ports: punch.Steady, Token: good.Token}} {
		v.step = punchAsked
		v.heard(ctx, x, bad)
		v.work.Wait()
		if want := punchOver; bad != nil && v.step != want || len(v.next) > 0 {
			t.Errorf("%+v: step %v", bad, v.step)
		}
	}

	c := newGuesser("camera")
	c.heard(ctx, situation{}, good)
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

// ICE gets a punched hole as a candidate that names nothing inside the network.
func TestPunchedCandidate(t *testing.T) {
	m := punched(netip.MustParseAddrPort("203.0.113.7:50001"))
	const want = "candidate:punched 1 udp 1694498559 203.0.113.7 50001 typ srflx raddr 0.0.0.0 rport 9"
	if m.Candidate != want || m.Mid != "0" {
		t.Errorf("got  %q\nwant %q", m.Candidate, want)
	}
}
