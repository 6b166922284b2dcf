//go:build linux

package e2e

import (
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// scene is a relay, a camera and a viewer, each on a host of its own, and pictures on their way.
type scene struct {
	lab                     *natlab.Lab
	relayHost, home, person *natlab.Host
	relay, cams             *process
	relayArgs               []string
	flags                   []string // of every viewer command
}

// newScene pairs a viewer behind one kind of network with a camera behind another, and with arguments of its own.
func newScene(t testing.TB, camera, viewer natlab.Kind, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	s.relayHost = s.lab.Public("relay")
	s.home, s.person = s.lab.Behind("camera", camera), s.lab.Behind("viewer", viewer)
	state := t.TempDir()
	s.relayArgs = []string{"serve", "-listen", "[::]:443", "-turn", "[::]:3478", "-public-url", "https://relay.lab", "-tls-self-signed", "-state", state}
	s.startRelay(t)
	trust := []string{"-relay-cert", filepath.Join(state, "self-signed.pem")}
	s.cams = startBy(t, s.home.Start, "camera-sim", append(append([]string{"-relay", "https://relay.lab", "-state", t.TempDir()}, trust...), args...)...)
	s.flags = append([]string{"-state", filepath.Join(t.TempDir(), "viewer")}, trust...)
	link := s.cams.line(t, "pair sim-0 ")
	pairing := startBy(t, s.person.Start, "viewer", append(s.flags, "pair", link)...)
	pairing.line(t, "paired sim-0 ")
	pairing.stop()
	return s
}

func (s *scene) startRelay(t testing.TB) {
	t.Helper()
	s.relay = startBy(t, s.relayHost.Start, "relay", s.relayArgs...)
	s.relay.line(t, "ready ")
}

// arrivals are the times at which access units left a viewer's standard output.
type arrivals struct {
	*process
	mu    sync.Mutex
	times []time.Time // guarded by mu
}

// watch watches until the test ends.
func (s *scene) watch(t testing.TB, args ...string) *arrivals {
	t.Helper()
	a := &arrivals{process: &process{stderr: &tape{}}}
	cmd := exec.Command(filepath.Join(binaries(t), "viewer"), append(s.flags, append([]string{"watch", "sim-0", "-o", "-"}, args...)...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
				a.times = append(a.times, time.Now())
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
	a.runs(t)
	return a
}

func (a *arrivals) now() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Time(nil), a.times...)
}

// runs waits until pictures come, a second's worth.
func (a *arrivals) runs(t testing.TB) {
	t.Helper()
	n := len(a.now())
	eventually(t, "pictures come:\n"+a.said(), func() bool { return len(a.now()) > n+15 })
}

// backAfter waits until pictures come again after a moment, and returns how long after it the first came that had none for
// half a second before it; 0: there was no such gap.
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

// longest is the longest gap between two pictures since a moment.
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
