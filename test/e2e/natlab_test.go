//go:build linux

package e2e

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/natlab"
)

// Real NATs between the real commands: where theory allows it, camera and viewer exchange media without the relay, and
// elsewhere through it, over TCP if a network lets no UDP out. The judge is which packets reach the viewer.
func TestMediaIsDirectWhereTheNATsAllow(t *testing.T) {
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
			if direct := tt.path == "direct"; direct != natlab.Traversable(tt.camera, tt.viewer) ||
				natlab.Guessable(tt.camera, tt.viewer) {
				t.Fatal("theory says otherwise")
			}
			s := newScene(t, tt.camera, tt.viewer)
			wire, file := s.person.Record(), filepath.Join(t.TempDir(), "out.h264")
			since := startStopwatch()
			watching := startBy(t, s.person.Start, "viewer", append(s.flags, "watch", "sim-0", "-json", "-o", file)...)
			eventually(t, "20 frames, by the path that theory names", func() bool {
				video := slices.DeleteFunc(wire.Packets(), func(p natlab.Packet) bool { return len(p.Data) < 500 })
				direct, _ := came(video, s.home)
				return pictures(file) >= 20 && (direct >= 20 || tt.path == "relay")
			})

			watching.stop()
			w := outcome{stdout: <-watching.lines}.parse(t)
			if code := watching.ProcessState.ExitCode(); code != 0 || w.Frames < 20 || !w.whole(since) ||
				w.Path != tt.path {
				t.Errorf("exit %d, %+v; want 20 frames and none missing, path %s", code, w, tt.path)
			}

			if direct, overUDP := came(wire.Packets(), s.home); (direct > 0) != (tt.path == "direct") ||
				(overUDP > 0) != tt.viewer.UDP {
				t.Errorf("%d packets came from the camera's network, and %d over UDP from anywhere", direct, overUDP)
			}
			t.Logf("%s, %s to %s: %.0f ms to the first frame, %q", w.Path, w.LocalCandidate, w.RemoteCandidate, w.TTFF,
				w.Why)
		})
	}
}

// pictures counts the pictures in a file that is being written.
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

// came counts the packets from the camera's network, and the packets over UDP.
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

// Where UDP reaches the relay, a relayed session uses UDP and nothing else, though TCP and TLS are available too. On a
// busy machine, UDP's head start may be over before the relay's answer was read; then the session is tried again. That
// excuse does not count once the viewer has used what UDP was granted, except for once, since that may happen between
// two of its goroutines.
func TestRelayedOverUDP(t *testing.T) {
	t.Parallel()
	s := newScene(t, natlab.SymmetricRandom, natlab.SymmetricRandom)
	wire := s.person.Record()
	seen := 0
	for good, tried, needless := 0, 0, 0; good < 4; tried++ {
		w, code := s.once(t, "40")
		if code != 0 || w.Path != "relay" {
			t.Fatalf("exit %d, %+v; want a relayed session", code, w)
		}
		packets := wire.Packets()
		byTCP, granted := triedTCP(packets[seen:])
		seen = len(packets)

		switch {
		case !byTCP && strings.HasPrefix(w.Why, "relayed: "):
			good++
		case byTCP && granted:
			needless++
		}

		if tried == 20 || needless == 2 {
			t.Fatalf("of %d sessions %d kept to UDP, and %d went to TCP although UDP was granted; %+v", tried+1, good,
				needless, w)
		}
	}
}

// triedTCP reports whether a session's packets show that its viewer tried TURN over TCP, and whether it had used an
// allocation over UDP by then.
func triedTCP(packets []natlab.Packet) (byTCP, granted bool) {
	for _, p := range packets {
		switch {
		case !p.Out || p.Dst.Port() != 3478:
		case p.Protocol == natlab.TCP:
			return true, granted
		case usesAllocation(p):
			granted = true
		}
	}
	return false, granted
}

// usesAllocation reports whether a packet over UDP asks for something that only a client with an allocation gets: a
// permission or a channel (RFC 8656, section 18).
func usesAllocation(p natlab.Packet) bool {
	header := 40 + 8 // IPv6 and UDP
	if p.Dst.Addr().Is4() {
		header = int(p.Data[0]&15)*4 + 8
	}
	if p.Protocol != natlab.UDP || len(p.Data) < header+20 {
		return false
	}

	const createPermission, channelBind = 0x0008, 0x0009
	kind := binary.BigEndian.Uint16(p.Data[header:])
	return kind == createPermission || kind == channelBind
}
