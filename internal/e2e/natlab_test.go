//go:build linux

package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/internal/natlab"
	"github.com/peephole-cam/peephole/media"
)

// Real NATs between the real commands: where theory lets them, camera and viewer talk without the relay, and elsewhere
// through it, over TCP where a network lets no UDP out. What comes to the viewer is the judge.
func TestThroughNATs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		camera, viewer natlab.Kind
		path           string
	}{
		{natlab.Open, natlab.Open, "direct"},
		{natlab.PortRestricted, natlab.PortRestricted, "direct"},
		{natlab.SymmetricRandom, natlab.SymmetricRandom, "relay"},
		{natlab.PortRestricted, natlab.UDPBlocked, "relay"},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			if direct := tt.path == "direct"; direct != natlab.Traversable(tt.camera, tt.viewer) || natlab.Guessable(tt.camera, tt.viewer) {
				t.Fatal("theory says otherwise")
			}
			s := newScene(t, tt.camera, tt.viewer)
			wire, file := s.person.Record(), filepath.Join(t.TempDir(), "out.h264")
			watching := startBy(t, s.person.Start, "viewer", append(s.flags, "watch", "sim-0", "-json", "-o", file)...)
			eventually(t, "20 frames, by the path that theory names", func() bool {
				video := slices.DeleteFunc(wire.Packets(), func(p natlab.Packet) bool { return len(p.Data) < 500 })
				direct, _ := came(video, s.home)
				return pictures(file) >= 20 && (direct >= 20 || tt.path == "relay")
			})
			watching.stop()
			w := outcome{stdout: <-watching.lines}.parse(t)
			if code := watching.ProcessState.ExitCode(); code != 0 || w.Frames < 20 || w.Missing+w.Rejected+w.Delayed != 0 || w.Path != tt.path {
				t.Errorf("exit %d, %+v; want 20 frames and none missing, path %s", code, w, tt.path)
			}
			if direct, overUDP := came(wire.Packets(), s.home); (direct > 0) != (tt.path == "direct") || (overUDP > 0) != tt.viewer.UDP {
				t.Errorf("%d packets came from the camera's network, and %d over UDP from anywhere", direct, overUDP)
			}
			t.Logf("%s, %s to %s: %.0f ms to the first frame, %q", w.Path, w.LocalCandidate, w.RemoteCandidate, w.TTFF, w.Why)
		})
	}
}

// pictures counts those in a file that is being written.
func pictures(file string) int {
	stream, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	split, err := media.Split(stream)
	if err != nil {
		return 0
	}
	return len(split)
}

// came counts the packets that came from the camera's network, and those that came over UDP.
func came(packets []natlab.Packet, camera *natlab.Host) (direct, overUDP int) {
	for _, p := range packets {
		if p.Out {
			continue
		}
		if slices.Contains([]netip.Addr{camera.IPv4(), camera.IPv6(), camera.Network().Outside()}, p.Src.Addr()) {
			direct++
		}
		if p.Protocol == natlab.UDP {
			overUDP++
		}
	}
	return direct, overUDP
}

// Where UDP reaches the relay, a relayed session goes over it and over nothing else, though TCP and TLS are there too.
func TestRelayedOverUDP(t *testing.T) {
	t.Parallel()
	s := newScene(t, natlab.SymmetricRandom, natlab.SymmetricRandom)
	wire := s.person.Record()
	for range 4 {
		w, code := s.once(t, "40")
		if code != 0 || w.Path != "relay" || !strings.HasPrefix(w.Why, "relayed: ") {
			t.Errorf("exit %d, %+v; want a session relayed over UDP", code, w)
		}
	}
	for _, p := range wire.Packets() {
		if p.Protocol == natlab.TCP && (p.Src.Port() == 3478 || p.Dst.Port() == 3478) {
			t.Error("the viewer went to TURN by TCP too")
			break
		}
	}
}
