//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// untilGuessed is how many frames come until ports have been guessed and a hole was found, or not: 20 s of them.
const untilGuessed = "300"

// Where a NAT uses another port for each peer, a session starts on the relay and moves to a hole that was found by
// guessing. No frame is lost on the way.
func TestPortsAreGuessed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ camera, viewer natlab.Kind }{
		{natlab.SymmetricRandom, natlab.PortRestricted},
		{natlab.PortRestricted, natlab.SymmetricSequential},
		{natlab.SymmetricSequential, natlab.SymmetricSequential},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			if !natlab.Guessable(tt.camera, tt.viewer) {
				t.Fatal("theory says otherwise")
			}
			s := newScene(t, tt.camera, tt.viewer)
			for tried := 1; ; tried++ { // guesses are a matter of luck, and on a busy machine they come late
				since := startStopwatch()
				w, code := s.once(t, untilGuessed)
				if code != 0 || !w.whole(since) { // this is not a matter of either
					t.Fatalf("exit %d, %+v; want every frame, guessed or not", code, w)
				}

				rungs := w.Explain.Rungs
				if w.Path == "direct" && len(rungs) == 2 && rungs[0].Rung == "relay-udp" && rungs[1].Rung == "direct" {
					t.Logf("relayed after %.0f ms, direct after %.0f ms: %s", rungs[0].At, rungs[1].At, w.Why)
					return
				}
				if tried == 4 {
					t.Fatalf("exit %d, %+v; want a session that moves from the relay to a hole", code, w)
				}
			}
		})
	}
}

// An end that hides behind the relay guesses nothing: everything that leaves either network goes to the relay.
func TestHiddenGuessesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, natlab.PortRestricted, natlab.SymmetricSequential)
	wires := []*natlab.Recording{s.home.Network().Record(), s.person.Network().Record()}
	if w, code := s.once(t, "100", "-relay-only"); code != 0 || w.Path != "relay" {
		t.Errorf("exit %d, %+v", code, w)
	}

	for _, wire := range wires {
		for _, p := range wire.Packets() {
			if p.Out && p.Dst.Addr() != s.relayHost.IPv4() && p.Dst.Addr() != (netip.Addr{}) {
				t.Fatalf("a packet went to %s", p.Dst)
			}
		}
	}
}
