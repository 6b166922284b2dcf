//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// once watches once, for some frames, and returns what watch -json prints.
func (s *scene) once(t testing.TB, frames string, args ...string) (w watched, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries(t), "viewer"),
		slices.Concat(s.flags, []string{"watch", "sim-0", "-json", "-frames", frames}, args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := s.person.Start(cmd); err != nil {
		t.Fatal(err)
	}

	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &w); err != nil {
		t.Fatalf("watch said %q, %q: %v", stdout.String(), stderr.String(), err)
	}
	return w, cmd.ProcessState.ExitCode()
}

// untilSettled is how many frames a cell of the matrix watches: more than two seconds of them, in which a session that
// began relayed moves to a direct path if there is one.
const untilSettled = "40"

// cell is one pair of networks, watched several times.
type cell struct {
	camera, viewer natlab.Kind
	path           string // of the last watch
	failed         int
	first, stream  []float64 // milliseconds
	direct         []float64 // milliseconds from the connection to the relay to a direct path, if there was one
	punched        []float64 // the same of DCUtR's attempts
}

// measure watches the camera of a scene between the cell's networks.
func (c *cell) measure(t testing.TB, s *scene, times int) {
	t.Helper()
	frames := untilSettled
	if natlab.Guessable(c.camera, c.viewer) {
		frames = untilGuessed
	}

	for range times {
		w, code := s.once(t, frames)
		if code != 0 || w.Error != "" {
			c.failed++
			t.Logf("%s × %s: %s", c.camera.Name, c.viewer.Name, w.Error)
			continue
		}

		c.path = w.Path
		c.first, c.stream = append(c.first, w.TTFF), append(c.stream, w.Stream)
		if at, ok := w.direct(); ok {
			c.direct = append(c.direct, at)
		}
	}
}

// directTries is how often a direct path is tried for where one is wanted: on a busy machine checks come late, and
// guesses are a matter of luck. A relayed path is there at once.
const directTries = 4

// onceBy is once, but tries again if a direct path is wanted and all went well, except that there was none.
func (s *scene) onceBy(t testing.TB, path, frames string, args ...string) (w watched, code int) {
	t.Helper()
	for range directTries {
		w, code = s.once(t, frames, args...)
		if path != "direct" || w.Path == path || code != 0 || w.Error != "" || w.Rejected+w.Missing > 0 {
			break
		}
	}
	return w, code
}

// direct returns how many milliseconds after the connection to the relay a session got a direct path. The first of its
// paths was there when ICE had selected a pair.
func (w watched) direct() (after float64, ok bool) {
	paths := w.Explain.Rungs
	for _, p := range paths {
		if !strings.HasPrefix(p.Rung, "relay") {
			return w.Checked - w.Reached + p.At - paths[0].At, true
		}
	}
	return 0, false
}

// theory returns the path that a pair of networks allows, if need be by guessing ports.
func (c *cell) theory() string {
	if natlab.Traversable(c.camera, c.viewer) || natlab.Guessable(c.camera, c.viewer) {
		return "direct"
	}
	return "relay"
}

// Through each kind of network, to a home with a port-restricted router and from there, the picture takes the path that
// theory allows.
func TestPathIsTheBestThatTheNetworksAllow(t *testing.T) {
	t.Parallel()
	for _, kind := range natlab.Kinds() {
		for _, c := range []cell{{camera: natlab.PortRestricted, viewer: kind},
			{camera: kind, viewer: natlab.PortRestricted}} {
			t.Run(c.camera.Name+" to "+c.viewer.Name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, c.camera, c.viewer)
				for range directTries {
					c.measure(t, s, 1)
					if c.theory() != "direct" || c.path == "direct" || c.failed > 0 {
						break
					}
				}

				if c.failed > 0 || c.path != c.theory() {
					t.Errorf("path %q, %d failed; want %q", c.path, c.failed, c.theory())
				}
			})
		}
	}
}
