//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// What a camera offers arrives by the ways that pictures take: directly through both NATs, and through the relay over
// UDP and over TCP. The judge is which packets reach the viewer.
func TestGetTakesEveryWay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		camera, viewer natlab.Kind
		direct, udp    bool
	}{
		{natlab.PortRestricted, natlab.PortRestricted, true, true},
		{natlab.NAT64, natlab.PortRestricted, true, true},
		{natlab.SymmetricRandom, natlab.SymmetricRandom, false, true},
		{natlab.PortRestricted, natlab.UDPBlocked, false, false},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			s := newScene(t, tt.camera, tt.viewer)
			wire := s.person.Record()
			var large []natlab.Packet
			var direct, overUDP int
			// Whichever pair works first is used, and a better one after a second. Before that, so little may have come
			// through the relay.
			for try := 0; try == 0 || tt.direct && direct == 0 && try < 10; try++ {
				file := filepath.Join(t.TempDir(), "picture.h264")
				said := s.get(t, "picture", "-o", file)
				if n := pictures(file); n == 0 || !strings.Contains(said, "wrote "+file) {
					t.Errorf("%d pictures; said %q", n, said)
				}
				large = slices.DeleteFunc(wire.Packets(), func(p natlab.Packet) bool { return len(p.Data) < 1000 })
				direct, overUDP = came(large, s.home)
			}

			if (direct > 0) != tt.direct || (overUDP > 0) != tt.udp {
				t.Errorf("of %d large packets %d came from the camera's network, and %d over UDP", len(large), direct,
					overUDP)
			}
		})
	}
}

// Where a NAT uses another port for each peer, a transfer begins on the relay and moves to a hole that was found by
// guessing ports, as a picture does.
func TestGetMovesToAGuessedPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ camera, viewer natlab.Kind }{
		{natlab.SymmetricRandom, natlab.PortRestricted},
		{natlab.PortRestricted, natlab.SymmetricSequential},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			s := newStage(t, tt.camera, tt.viewer, "camera", "-name", "sim-0", "-input", largeKeyframe(t, 8_000_000))
			s.pair(t)
			s.person.Network().Impair(natlab.Quality{}, natlab.Quality{Rate: 4_000_000}) // so that it takes 16 s
			for tried := 1; ; tried++ {                                                  // guesses are a matter of luck
				wire, file := s.person.Record(), filepath.Join(t.TempDir(), "picture.h264")
				if s.get(t, "picture", "-o", file); pictures(file) == 0 {
					t.Fatal("nothing arrived")
				}
				large := slices.DeleteFunc(wire.Packets(), func(p natlab.Packet) bool { return len(p.Data) < 1000 })
				direct, overUDP := came(large, s.home)
				if direct > 0 && direct < overUDP {
					t.Logf("%d of %d large packets came directly", direct, overUDP)
					return
				}
				if tried == 4 {
					t.Fatalf("%d of %d large packets came directly; want a transfer that moves", direct, overUDP)
				}
			}
		})
	}
}

// A viewer that hides its address gets things through the relay, and sends the camera's network nothing.
func TestGetHidesBehindTheRelay(t *testing.T) {
	t.Parallel()
	s := newScene(t, natlab.PortRestricted, natlab.PortRestricted)
	wire, file := s.person.Record(), filepath.Join(t.TempDir(), "log.txt")
	s.get(t, "log", "-o", file, "-relay-only")
	log, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(log), "session begins") {
		t.Errorf("the log is %q, %v", log, err)
	}
	for _, p := range wire.Packets() {
		if p.Out && p.Dst.Addr() == s.home.Network().Outside() || !p.Out && p.Src.Addr() == s.home.Network().Outside() {
			t.Fatalf("a packet between the two networks: %v to %v", p.Src, p.Dst)
		}
	}
}

// In a house without internet things are got as pictures are, but not by a viewer that hides its address: it looks for
// the camera nowhere but at the relay.
func TestGetInAHouseWithoutInternet(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan")
	if w, code := s.once(t, "20"); code != 0 { // which brings the names by which to find the camera
		t.Fatalf("exit %d, %+v", code, w)
	}
	s.home.Network().Down()
	file := filepath.Join(t.TempDir(), "picture.h264")
	if s.get(t, "picture", "-o", file); pictures(file) == 0 {
		t.Error("nothing arrived")
	}

	wire := s.person.Record()
	hidden := startBy(t, s.person.Start, "viewer", append(s.flags, "get", "sim-0", "log", "-o",
		filepath.Join(t.TempDir(), "log.txt"), "-relay-only", "-timeout", "3s")...)
	for range hidden.lines { // until it ends
	}
	hidden.stop()
	if hidden.ProcessState.ExitCode() != 1 {
		t.Errorf("got it while hiding: %s", hidden.said())
	}
	for _, p := range wire.Packets() {
		if to := p.Dst.Addr(); p.Out && p.Protocol == natlab.UDP && (to.IsMulticast() || to == s.home.IPv4()) {
			t.Fatalf("a hiding viewer sent to %v", p.Dst)
		}
	}
}

// A transfer outlives its connection: when the line is back, it goes on from what has arrived.
func TestGetGoesOnWhenTheLineIsBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, natlab.PortRestricted, natlab.PortRestricted, "camera", "-name", "sim-0", "-input",
		largeKeyframe(t, 3_000_000))
	s.pair(t)
	house, file := s.person.Network(), filepath.Join(t.TempDir(), "picture.h264")
	house.Impair(natlab.Quality{}, natlab.Quality{Rate: 4_000_000})
	getting := startBy(t, s.person.Start, "viewer", append(s.flags, "get", "sim-0", "picture", "-o", file)...)
	eventually(t, "the first blocks arrive", func() bool {
		part, err := os.Stat(file + ".part")
		return err == nil && part.Size() >= 1<<19
	})

	house.Down()
	eventually(t, "the viewer tries again", func() bool { return strings.Contains(getting.said(), "trying again") })
	house.Impair(natlab.Quality{}, natlab.Quality{})
	house.Up()
	for range getting.lines { // until it ends
	}
	getting.stop()
	if code := getting.ProcessState.ExitCode(); code != 0 || pictures(file) == 0 {
		t.Errorf("exit %d with %d pictures: %s", code, pictures(file), getting.said())
	}
}

// get gets something from the scene's camera, and returns what the viewer said.
func (s *scene) get(t testing.TB, args ...string) (stderr string) {
	t.Helper()
	p := startBy(t, s.person.Start, "viewer", append(s.flags, append([]string{"get", "sim-0"}, args...)...)...)
	for range p.lines { // until it ends
	}
	p.stop()
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("viewer get %s: exit %d: %s", strings.Join(args, " "), code, p.said())
	}
	return p.said()
}
