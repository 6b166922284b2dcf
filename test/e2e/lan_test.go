//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// newHouse pairs a viewer and a camera in one network, with further arguments for the camera.
func newHouse(t testing.TB, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t), oneHouse: true}
	s.relayHost = s.lab.Public("relay")
	s.stage(t, natlab.PortRestricted, natlab.PortRestricted, "camera-sim", args...)
	s.pair(t)
	return s
}

// A house whose internet has failed is watched from within: what was being watched goes on, and watching begins. Once
// the internet is back, nothing has to be done.
func TestHouseWithoutInternetIsWatched(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan")
	if w, code := s.once(t, "20"); code != 0 || w.Signaling != "relay" {
		t.Fatalf("exit %d, %+v; want 20 frames by the relay, since nothing else is known yet", code, w)
	}

	running := s.watch(t)
	s.home.Network().Down()
	running.runs(t)
	for range 3 {
		w, code := s.once(t, "20")
		if code != 0 || w.Signaling != "lan" || w.Path != "direct" {
			t.Fatalf("exit %d, %+v; want 20 frames, agreed on and sent within the house", code, w)
		}
		t.Logf("without the internet: %.0f ms to the first picture", w.TTFF)
	}
	running.runs(t)

	s.home.Network().Up()
	if w, code := s.once(t, "20"); code != 0 || w.Path != "direct" {
		t.Errorf("exit %d, %+v; want 20 frames now that the internet is back", code, w)
	}
	running.runs(t)
}

// With -lan=false at either end nothing is announced, nothing is looked for, and the relay is needed.
func TestLANCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, camera, viewer string }{
		{"at the camera", "-lan=false", "-lan"},
		{"at the viewer", "-lan", "-lan=false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newHouse(t, tt.camera)
			s.flags = append(s.flags, tt.viewer)
			wire := s.home.Record()
			if tt.viewer == "-lan=false" { // the camera announces itself
				wire = s.person.Record()
			}
			if w, code := s.once(t, "20"); code != 0 || w.Signaling != "relay" {
				t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
			}

			s.relay.kill()
			if said := s.fails(t); !strings.Contains(said, "relay") {
				t.Errorf("without the relay the viewer says %q", said)
			}
			if asked := slices.ContainsFunc(wire.Packets(), isMDNS); asked {
				t.Error("somebody used mDNS")
			}
		})
	}
}

// isMDNS reports whether a host sent a packet of mDNS (RFC 6762, section 3).
func isMDNS(p natlab.Packet) bool {
	const port = 5353
	return p.Out && p.Protocol == natlab.UDP && (p.Src.Port() == port || p.Dst.Port() == port)
}

// fails lets the viewer watch, which must fail, and returns what it says.
func (s *scene) fails(t testing.TB) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries(t), "viewer"), append(s.flags, "watch", "sim-0", "-frames", "1")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := s.person.Start(cmd); err != nil {
		t.Fatal(err)
	}

	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("watching ended with %v: %s", err, stderr.String())
	}
	return stderr.String()
}

// Once the operator is gone, a viewer finds its camera through a circuit relay that the camera named, which tells both
// ends their addresses: ours exactly, and others at least the NAT's. It watches wherever there is a direct way, and
// elsewhere one sentence says what is missing.
func TestCameraIsFoundThroughACircuitRelay(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	for _, tt := range []struct {
		name           string
		start          func(testing.TB, *natlab.Host) (address string)
		camera, viewer natlab.Kind
		direct         bool
	}{
		{"a camera with an address of its own", ourCircuitRelay, natlab.Open, natlab.PortRestricted, true},
		{"both behind a NAT", ourCircuitRelay, natlab.PortRestricted, natlab.PortRestricted, true},
		{"both behind a NAT, by libp2p's own relay", stockCircuitRelay, natlab.PortRestricted, natlab.PortRestricted,
			true},
		{"both behind a NAT that no hole gets through", ourCircuitRelay, natlab.SymmetricRandom, natlab.SymmetricRandom,
			false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &scene{lab: natlab.New(t)}
			s.relayHost = s.lab.Public("relay")
			at := tt.start(t, s.lab.Public("others"))
			s.stage(t, tt.camera, tt.viewer, "camera-sim", "-lan", "-p2p-relay", at)
			s.pair(t)
			if w, code := s.once(t, "20"); code != 0 || w.Signaling != "relay" {
				t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
			}

			s.relay.kill()
			if !tt.direct {
				if said := s.fails(t); !strings.Contains(said, "the relay is gone, and no direct way") {
					t.Errorf("the viewer says %q", said)
				}
				return
			}

			w, code := s.once(t, "20")
			if code != 0 || w.Signaling != "circuit" || w.Path != "direct" {
				t.Fatalf("exit %d, %+v; want 20 frames, agreed on through the circuit relay", code, w)
			}
			t.Logf("through the circuit relay: %.0f ms to the first picture", w.TTFF)
		})
	}
}

// ourCircuitRelay runs a relay with a circuit relay on a host, and returns the circuit relay's multiaddr.
func ourCircuitRelay(t testing.TB, on *natlab.Host) (address string) {
	t.Helper()
	const port = "4001"
	relay := startBy(t, on.Start, "relay", "serve", "-state", t.TempDir(), "-p2p",
		net.JoinHostPort(on.IPv4().String(), port))
	_, peer, _ := strings.Cut(relay.line(t, "p2p "), "/p2p/")
	return "/ip4/" + on.IPv4().String() + "/udp/" + port + "/quic-v1/p2p/" + peer
}

// stockCircuitRelay is ourCircuitRelay with go-libp2p's own relay.
func stockCircuitRelay(t testing.TB, on *natlab.Host) (address string) {
	t.Helper()
	if err := dcutrBuilt(); err != nil {
		t.Fatalf("build test/dcutr: %v", err)
	}
	peer := startBy(t, on.Start, "dcutr", "relay", "0").line(t, "ready ")
	return "/ip4/" + on.IPv4().String() + "/udp/4001/quic-v1/p2p/" + peer
}
