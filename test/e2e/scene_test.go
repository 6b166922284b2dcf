//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/natlab"
)

// scene is a relay, a camera and a viewer, each on a host of its own, and pictures on their way.
type scene struct {
	lab                     *natlab.Lab
	relayHost, home, person *natlab.Host
	second                  *natlab.Host // for another relay; nil: there is none
	relay, other, cams      *process
	relayArgs, extra        []string
	otherArgs               []string
	cameraArgs              []string // its command first
	cameraState             string
	flags                   []string // for every viewer command
	link                    string   // the camera's pairing link, good for one viewer
	oneHouse                bool     // camera and viewer are in one network
	surround                func()   // gives the hosts networks beside their own; nil: none
}

// relayMetrics is where the first relay's host sees its metrics.
const relayMetrics = "127.0.0.1:9100"

// newScene pairs a viewer behind one kind of network with a simulated camera behind another, which gets further
// arguments.
func newScene(t testing.TB, camera, viewer natlab.Kind, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	s.relayHost = s.lab.Public("relay")
	s.stage(t, camera, viewer, "camera-sim", args...)
	s.pair(t)
	return s
}

// newStage is a scene whose camera is another of our commands, with further arguments, and not paired yet.
func newStage(t testing.TB, camera, viewer natlab.Kind, command string, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	s.relayHost = s.lab.Public("relay")
	s.stage(t, camera, viewer, command, args...)
	return s
}

// newSceneOfTwoRelays is newScene with a second relay, which does no signaling but has the same TURN secret.
func newSceneOfTwoRelays(t testing.TB, camera, viewer natlab.Kind) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	s.relayHost, s.second = s.lab.Public("relay"), s.lab.Public("second")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("secret"), 8), 0o600); err != nil {
		t.Fatal(err)
	}

	s.extra = []string{"-turn-secret", secret, "-turn-also", "turn:" + s.second.IPv4().String() + ":3478?transport=udp"}
	s.otherArgs = []string{"serve", "-listen", "[::]:443", "-turn", "[::]:3478", "-public-url", "https://second.lab",
		"-tls-self-signed", "-state", t.TempDir(), "-turn-secret", secret}
	s.startOther(t)
	s.stage(t, camera, viewer, "camera-sim")
	s.pair(t)
	return s
}

// traffic is what went through the interfaces of a network namespace, without its loopback.
type traffic struct{ bytes, packets int }

// trafficOf returns what has come into the network namespace of a process and what has left it (proc(5)).
func trafficOf(t testing.TB, p *process) (received, sent traffic) {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || strings.TrimSpace(name) == "lo" || len(fields) < 10 {
			continue
		}

		for i, sum := range map[int]*int{0: &received.bytes, 1: &received.packets, 8: &sent.bytes, 9: &sent.packets} {
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				t.Fatal(err)
			}
			*sum += n
		}
	}

	return received, sent
}

// sentBytes returns how much has left the network namespace of a process.
func sentBytes(t testing.TB, p *process) int {
	t.Helper()
	_, sent := trafficOf(t, p)
	return sent.bytes
}

// loseRelay kills the relay that carries the media of a relayed session, and returns a function that starts it again.
func (s *scene) loseRelay(t testing.TB, a *arrivals) (again func(testing.TB)) {
	t.Helper()
	first, second := sentBytes(t, s.relay), sentBytes(t, s.other)
	a.runs(t)
	a.runs(t)
	first, second = sentBytes(t, s.relay)-first, sentBytes(t, s.other)-second
	t.Logf("bytes through the first relay %d, through the second %d", first, second)
	if first > second {
		s.relay.kill()
		return s.startRelay
	}

	s.other.kill()

	return s.startOther
}

// stage makes the networks and starts the relay and the camera.
func (s *scene) stage(t testing.TB, camera, viewer natlab.Kind, command string, args ...string) {
	t.Helper()
	s.networks(camera, viewer)
	state := t.TempDir()
	s.relayArgs = []string{"serve", "-listen", "[::]:443", "-turn", "[::]:3478", "-public-url", "https://relay.lab",
		"-tls-self-signed", "-state", state, "-metrics", relayMetrics}
	s.relayArgs = append(s.relayArgs, s.extra...)
	s.startRelay(t)
	s.cast(t, "https://relay.lab", filepath.Join(state, "self-signed.pem"), command, args...)
	s.link = s.cams.line(t, "pair sim-0 ")
}

// networks makes the networks of camera and viewer.
func (s *scene) networks(camera, viewer natlab.Kind) {
	s.home = s.lab.Behind("camera", camera)
	if s.oneHouse {
		s.person = s.home.Network().Host("viewer")
	} else {
		s.person = s.lab.Behind("viewer", viewer)
	}
	if s.surround != nil {
		s.surround()
	}
}

// cast starts the camera at a relay that runs, and gives the viewer its flags.
func (s *scene) cast(t testing.TB, relayURL, certificate, command string, args ...string) {
	t.Helper()
	trust := []string{"-relay-cert", certificate}
	s.cameraState = t.TempDir()
	s.cameraArgs = slices.Concat([]string{command, "-relay", relayURL, "-state", s.cameraState}, trust, args)
	s.startCamera(t)
	s.flags = append([]string{"-state", filepath.Join(t.TempDir(), "viewer")}, trust...)
}

// pair pairs the terminal viewer.
func (s *scene) pair(t testing.TB) {
	t.Helper()
	pairing := startBy(t, s.person.Start, "viewer", append(s.flags, "pair", s.link)...)
	pairing.line(t, "paired sim-0 ")
	pairing.stop()
}

// startOther starts the relay that only serves TURN.
func (s *scene) startOther(t testing.TB) {
	t.Helper()
	s.other = startBy(t, s.second.Start, "relay", s.otherArgs...)
	s.other.line(t, "ready ")
}

func (s *scene) startRelay(t testing.TB) {
	t.Helper()
	s.relay = startBy(t, s.relayHost.Start, "relay", s.relayArgs...)
	s.relay.line(t, "ready ")
}

func (s *scene) startCamera(t testing.TB) {
	t.Helper()
	s.cams = startBy(t, s.home.Start, s.cameraArgs[0], s.cameraArgs[1:]...)
}

// arrivals are the times at which access units left a viewer's standard output.
type arrivals struct {
	*process
	mu    sync.Mutex
	times []time.Time // several that come at once may count as one; guarded by mu
	ends  []int       // how much had come at each of these times, in bytes; guarded by mu
	data  []byte      // guarded by mu
}

// watch watches until the test ends, and returns once pictures come.
func (s *scene) watch(t testing.TB, args ...string) *arrivals {
	t.Helper()
	a := s.begin(t, args...)
	a.runs(t)
	return a
}

// begin starts to watch.
func (s *scene) begin(t testing.TB, args ...string) *arrivals {
	t.Helper()
	a := &arrivals{process: &process{stderr: &tape{}}}
	cmd := exec.Command(filepath.Join(binaries(t), "viewer"),
		append(s.flags, append([]string{"watch", "sim-0", "-o", "-"}, args...)...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd.Stderr, a.Cmd = a.stderr, cmd
	if err := s.person.Start(cmd); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1<<20)
		for {
			n, err := stdout.Read(buf)
			if n > 0 {
				a.mu.Lock()
				a.times, a.data = append(a.times, time.Now()), append(a.data, buf[:n]...)
				a.ends = append(a.ends, len(a.data))
				a.mu.Unlock()
			}

			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("read stream: %v", err)
				}
				return
			}
		}
	}()

	a.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait()
	})

	t.Cleanup(a.stop)
	return a
}

func (a *arrivals) now() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Time(nil), a.times...)
}

// pictures counts the pictures that have come.
func (a *arrivals) pictures(t testing.TB) int {
	t.Helper()
	a.mu.Lock()
	data := a.data[:len(a.data):len(a.data)]
	a.mu.Unlock()
	units, err := media.Split(data)
	if err != nil {
		t.Fatal(err)
	}
	return len(units)
}

// runs waits for a second's worth of pictures.
func (a *arrivals) runs(t testing.TB) {
	t.Helper()
	n := len(a.now())
	eventually(t, "pictures come:\n"+a.said(), func() bool { return len(a.now()) > n+15 })
}

// backAfter waits until pictures come again after a moment. It returns how long after that moment the first picture
// came that followed half a second without any; 0 if there was no such gap.
func (a *arrivals) backAfter(t testing.TB, moment time.Time) time.Duration {
	t.Helper()
	eventually(t, "pictures come again:\n"+a.said(), func() bool {
		n := 0
		for _, at := range a.now() {
			if at.After(moment) {
				n++
			}
		}
		return n > 45 // three seconds of them: a gap has begun and ended by then
	})

	var before, back time.Time
	for _, at := range a.now() {
		if at.After(moment) && !before.IsZero() && at.Sub(before) > 500*time.Millisecond {
			back = at
		}
		before = at
	}

	if back.IsZero() {
		return 0
	}
	return back.Sub(moment)
}

// longest returns the longest gap between two pictures since a moment.
func (a *arrivals) longest(since time.Time) (gap time.Duration) {
	var before time.Time
	for _, at := range a.now() {
		if at.Before(since) {
			continue
		}
		if !before.IsZero() {
			gap = max(gap, at.Sub(before))
		}
		before = at
	}

	return gap
}
