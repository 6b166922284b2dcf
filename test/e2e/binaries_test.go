package e2e

import (
	"bufio"
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

	"github.com/peephole-cam/peephole/test/leash"
	"github.com/peephole-cam/peephole/test/natlab"
)

// patience ends what hangs. Nothing is measured by it: a busy machine may take its time.
const patience = 3 * time.Minute

// built builds the commands, once per test process.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "peephole-e2e-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	return dir, cmd.Run()
})

// browserHome is where browsers leave crash reports, caches and folders, made once per test process. Some browsers
// still write there for a moment after their test has ended.
var browserHome = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "home-") })

func TestMain(m *testing.M) {
	os.Exit(leash.Run(func() int {
		code := m.Run()
		for _, made := range []func() (string, error){built, browserHome} {
			if dir, err := made(); err == nil {
				os.RemoveAll(dir)
			}
		}
		return code
	}))
}

// binaries returns the directory that holds relay, camera, camera-sim and viewer.
func binaries(t testing.TB) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatalf("build commands: %v", err)
	}
	return dir
}

// process is a command that runs until the test ends or stop is called.
type process struct {
	*exec.Cmd
	lines  chan string // of its standard output
	stderr *tape
	stop   func() // ends it and waits
}

// start runs one of our commands. At the end of the test it gets SIGTERM and must then exit by itself.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	return startBy(t, func(cmd *exec.Cmd) error { return natlab.StartOutside(t.Cleanup, cmd) }, name, args...)
}

// startBy is start, except that begin starts the process: on a host of a lab, for example.
func startBy(t testing.TB, begin func(*exec.Cmd) error, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries(t), name), withoutLAN(name, args)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	p := &process{Cmd: cmd, lines: make(chan string, 4096), stderr: &tape{}}
	cmd.Stderr = p.stderr
	if err := begin(cmd); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})

	go func() {
		defer close(read)
		defer close(p.lines)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			select {
			case p.lines <- lines.Text():
			default: // nobody reads them any more
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()

	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(patience, func() {
			t.Errorf("%s did not end within %s of SIGTERM", name, patience)
			_ = cmd.Process.Kill()
		})
		<-read
		_ = cmd.Wait()
		late.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.said())
		}
	})

	t.Cleanup(p.stop)
	return p
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.Process.Kill()
	p.stop()
}

// said returns what the process has written to standard error so far.
func (p *process) said() string {
	p.stderr.mu.Lock()
	defer p.stderr.mu.Unlock()
	return strings.ReplaceAll(p.stderr.data.String(), "\x00", "")
}

// await waits until the process has written text to standard error n times.
func (p *process) await(t testing.TB, text string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s says %q", filepath.Base(p.Path), text), func() bool {
		return strings.Count(p.said(), text) >= n
	})
}

// eventually waits until is returns true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	within(t, patience, what, is)
}

// within is eventually with another limit.
func within(t testing.TB, limit time.Duration, what string, is func() bool) {
	t.Helper()
	late := time.After(limit)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// line waits for a line that begins with prefix and returns the rest of it.
func (p *process) line(t testing.TB, prefix string) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case text, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended without a line %q", p.Path, prefix)
			}
			if rest, found := strings.CutPrefix(text, prefix); found {
				return rest
			}
		case <-late:
			t.Fatalf("%s: no line %q within %s", p.Path, prefix, patience)
		}
	}
}

// withoutLAN switches the camera's announcements off, unless the test has asked for them: a test announces nothing
// outside a namespace that it has made.
func withoutLAN(name string, args []string) []string {
	asked := func(arg string) bool { return strings.HasPrefix(arg, "-lan") }
	if name != "camera" || slices.ContainsFunc(args, asked) {
		return args
	}
	return append([]string{"-lan=false"}, args...)
}

// startRelayCommand runs a relay on ephemeral ports of this machine and returns its URL.
func startRelayCommand(t testing.TB, args ...string) (url string) {
	t.Helper()
	_, url = startRelayAt(t, "127.0.0.1:0", args...)
	return url
}

func startRelayAt(t testing.TB, address string, args ...string) (p *process, url string) {
	t.Helper()
	p = start(t, "relay", append([]string{"serve", "-loopback-unlimited", "-listen", address, "-turn", "127.0.0.1:0",
		"-state", t.TempDir()}, args...)...)
	return p, p.line(t, "ready ")
}

// startCameraSim runs n simulated cameras and returns the pairing link of each, by name.
func startCameraSim(t testing.TB, url string, n int, args ...string) (links map[string]string) {
	t.Helper()
	_, links = startCameraSims(t, url, n, args...)
	return links
}

func startCameraSims(t testing.TB, url string, n int, args ...string) (p *process, links map[string]string) {
	t.Helper()
	p = start(t, "camera-sim",
		append([]string{"-relay", url, "-state", t.TempDir(), "-n", strconv.Itoa(n)}, args...)...)
	links = make(map[string]string)
	for len(links) < n {
		name, link, _ := strings.Cut(p.line(t, "pair "), " ")
		links[name] = link
	}

	return p, links
}

// startCameraCommand runs the camera agent and returns its pairing link.
func startCameraCommand(t testing.TB, url string, args ...string) (link string) {
	t.Helper()
	p := start(t, "camera", append([]string{"-relay", url, "-state", t.TempDir(), "-name", "porch"}, args...)...)
	return p.line(t, "pair porch ")
}

// need skips or fails the test if this machine lacks one of the programs; see missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+": run make deps")
		}
	}
}

// missing skips the test on a developer's machine and fails it in CI, where every tier must run.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}
