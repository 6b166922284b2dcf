//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// once watches one time for some frames and returns what watch -json says.
func (s *scene) once(t testing.TB, frames string, args ...string) (w watched, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries(t), "viewer"), slices.Concat(s.flags, []string{"watch", "sim-0", "-json", "-frames", frames}, args)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := s.person.Start(cmd); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
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

// untilSettled is how many frames a cell of the matrix watches: more than two seconds of them, in which a session that began relayed moves to
// a direct path if there is one.
const untilSettled = "40"

// cell is one pair of networks, watched several times.
type cell struct {
	camera, viewer natlab.Kind
	path           string // of the last watch
	failed         int
	first, stream  []float64 // milliseconds
}

func (c *cell) measure(t testing.TB, times int) {
	t.Helper()
	s := newScene(t, c.camera, c.viewer)
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
	}
}

// theory is the path that a pair of networks allows, where need be by guessing ports.
func (c *cell) theory() string {
	if natlab.Traversable(c.camera, c.viewer) || natlab.Guessable(c.camera, c.viewer) {
		return "direct"
	}
	return "relay"
}

// Through each kind of network, to a home with a port-restricted router and from there, the picture comes by the path that theory allows.
func TestNetworks(t *testing.T) {
	for _, kind := range natlab.Kinds() {
		for _, c := range []cell{{camera: natlab.PortRestricted, viewer: kind}, {camera: kind, viewer: natlab.PortRestricted}} {
			t.Run(c.camera.Name+" to "+c.viewer.Name, func(t *testing.T) {
				c.measure(t, 1)
				if c.failed > 0 || c.path != c.theory() {
					t.Errorf("path %q, %d failed; want %q", c.path, c.failed, c.theory())
				}
			})
		}
	}
}

// BenchmarkNATMatrix measures every kind of network with every other and writes the table to the file that NAT_MATRIX names: see
// make nat-matrix.
func BenchmarkNATMatrix(b *testing.B) {
	const times = 5
	file := os.Getenv("NAT_MATRIX")
	if file == "" {
		b.Fatal("NAT_MATRIX names no file: say make nat-matrix")
	}
	var table, wrong strings.Builder
	kinds := natlab.Kinds()
	table.WriteString("| camera ╲ viewer |")
	for _, k := range kinds {
		fmt.Fprintf(&table, " %s |", k.Name)
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for b.Loop() {
		for _, camera := range kinds {
			fmt.Fprintf(&table, "| **%s** |", camera.Name)
			for _, viewer := range kinds {
				c := cell{camera: camera, viewer: viewer}
				b.Run(camera.Name+" to "+viewer.Name, func(b *testing.B) {
					for b.Loop() {
						c.measure(b, times)
					}
				})
				fmt.Fprintf(&table, " %s |", c.text(times))
				if c.path != c.theory() || c.failed > 0 {
					fmt.Fprintf(&wrong, "- %s to %s: theory says %s, seen %s, %d of %d failed\n", camera.Name, viewer.Name, c.theory(), c.path, c.failed, times)
				}
			}
			table.WriteString("\n")
		}
	}
	text := strings.Replace(matrixText, "TABLE\n", table.String(), 1)
	if wrong.Len() == 0 {
		wrong.WriteString("None: every pair that theory says is traversable goes direct, every other one is relayed, and none fails.\n")
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, "WRONG\n", wrong.String(), 1)), 0o644); err != nil {
		b.Fatal(err)
	}
}

func (c *cell) text(times int) string {
	if len(c.first) == 0 {
		return "**failed**"
	}
	return fmt.Sprintf("%s %.0f / %.0f ms", c.path, percentile(c.first, 50), percentile(c.stream, 50))
}

const matrixText = `<!-- Written by make nat-matrix. Do not edit. -->
# Through any network

Camera behind every kind of network, viewer behind every kind: the real relay, camera-sim and viewer, each on a host of its own behind real routers (internal/natlab: Linux's own NAT where it has the behaviour, a translator
of ours where not; what each kind does is measured by that package's tests). Each cell: the path that the session was on after 40 frames (300 where ports have to be guessed: it begins relayed there), then the medians of five sessions in milliseconds without line delay: to the
first picture, which comes sealed by signaling, and to the first frame of the stream. The time includes the connection to the relay.

TABLE

## Where it differs from theory
Theory is natlab.Traversable: both ends know their addresses by STUN and both send; and, where that is not enough, natlab.Guessable: by guessing ports (internal/punch), which fails by chance 3 times in 10,000.

WRONG
`
