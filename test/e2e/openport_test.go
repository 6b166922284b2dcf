//go:build linux

package e2e

import (
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// A router that opens ports, the camera's or the viewer's, makes a direct path where no hole could be punched: both
// routers use another port for each peer. It opens none if the person said not to, or hides behind the relay.
func TestOpenedPortMakesAPathDirect(t *testing.T) {
	t.Parallel()
	symmetric := natlab.SymmetricRandom
	if natlab.Traversable(symmetric, symmetric) || natlab.Guessable(symmetric, symmetric) {
		t.Fatal("a hole can be punched")
	}
	for _, tt := range []struct {
		name        string
		ways        []natlab.Control
		here        bool     // whether the viewer's router opens ports, rather than the camera's
		flags, args []string // of the viewer, and of its watch
		want        string
	}{
		{"the camera's, by PCP", []natlab.Control{natlab.PCP}, false, nil, nil, "direct"},
		{"the camera's, by UPnP", []natlab.Control{natlab.UPnP}, false, nil, nil, "direct"},
		{"the viewer's", []natlab.Control{natlab.PCP, natlab.UPnP}, true, nil, nil, "direct"},
		{"not the viewer's", []natlab.Control{natlab.PCP, natlab.UPnP}, true, []string{"-no-portmap"}, nil, "relay"},
		{"hidden", []natlab.Control{natlab.PCP, natlab.UPnP}, false, nil, []string{"-relay-only"}, "relay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, symmetric, symmetric)
			opener := s.home
			if tt.here {
				opener = s.person
			}

			opener.Network().OpenPorts(tt.ways...)
			s.flags = slices.Concat(s.flags, tt.flags)
			w, code := s.onceBy(t, tt.want, "60", tt.args...)
			if code != 0 || w.Path != tt.want || w.Rejected+w.Missing != 0 {
				t.Errorf("exit %d, %+v, want path %q", code, w, tt.want)
			}

			if n := s.person.Network(); tt.here && n.OpenedPorts() != 0 {
				t.Error("the viewer has ended, and a port is open still")
			}
			t.Logf("%s, %s to %s: %.0f ms to the first frame: %s", w.Path, w.LocalCandidate, w.RemoteCandidate, w.TTFF,
				w.Why)
		})
	}
}

// The port is open only while somebody watches: the camera closes it when the session ends, however it ends, and when
// it is stopped during one.
func TestPortIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, natlab.SymmetricRandom, natlab.SymmetricRandom)
	router := s.home.Network()
	router.OpenPorts(natlab.PCP)
	opened := func() bool { return router.OpenedPorts() > 0 }
	closed := func() bool { return router.OpenedPorts() == 0 }

	for _, end := range []struct {
		name string
		by   func(watching *process)
	}{
		{"the viewer leaves", func(watching *process) { watching.stop() }},
		{"the viewer crashes", func(watching *process) { watching.kill() }},
		{"the camera is told to stop", func(*process) { s.cams.stop() }},
	} {
		watching := startBy(t, s.person.Start, "viewer", append(s.flags, "watch", "sim-0", "-json")...)
		eventually(t, "a port is open", opened)
		end.by(watching)
		eventually(t, "no port is open: "+end.name, closed)
	}
}
