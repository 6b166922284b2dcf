package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a test waits for something before it gives up.
const patience = 2 * time.Minute

// programs holds what the test binary runs under each name.
var programs = map[string]func(){"relay": main}

func TestMain(m *testing.M) { testscript.Main(m, programs) }

func TestScripts(t *testing.T) {
	ps := &processes{of: make(map[*testscript.TestScript]*process)}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"up": ps.up, "down": ps.down},
	})
}

// process is a relay that a script started.
type process struct {
	cmd    *exec.Cmd
	lines  chan string // its standard output; closed at its end
	stderr bytes.Buffer
}

// processes holds the scripts' relays. The scripts run at the same time.
type processes struct {
	mu sync.Mutex
	of map[*testscript.TestScript]*process // guarded by mu
}

// swap sets a script's relay and returns the previous one.
func (ps *processes) swap(ts *testscript.TestScript, p *process) *process {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	old := ps.of[ts]
	ps.of[ts] = p
	return old
}

// up ARGS… starts relay serve, which runs until down. It returns when the relay is ready, and sets $LISTEN to its
// address.
func (ps *processes) up(ts *testscript.TestScript, neg bool, args []string) {
	p := &process{lines: make(chan string, 100)}
	if neg || ps.swap(ts, p) != nil {
		ts.Fatalf("up: not here")
	}
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, "relay"); p.cmd == nil {
			if _, err := os.Stat(path); err == nil {
				p.cmd = exec.Command(path, append([]string{"serve"}, args...)...)
			}
		}
	}

	p.cmd.Dir, p.cmd.Stderr = ts.Getenv("WORK"), &p.stderr
	p.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("WORK"))
	out, err := p.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(startWithScript(ts, p.cmd))

	ts.Defer(func() {
		if ps.swap(ts, nil) == p { // the script failed before down
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})

	go scan(out, p.lines)
	var said []string
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				ts.Fatalf("relay ended before it was ready: %s", p.stderr.String())
			}
			said = append(said, line)
			url, ready := strings.CutPrefix(line, "ready ")
			if !ready {
				continue
			}

			_, addr, _ := strings.Cut(url, "://")
			ts.Setenv("LISTEN", addr)
			ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(strings.Join(said, "\n")+"\n"), 0o600))
			return
		case <-deadline:
			ts.Fatalf("relay was not ready after %v", patience)
		}
	}
}

func scan(r io.Reader, lines chan<- string) {
	defer close(lines)
	for s := bufio.NewScanner(r); s.Scan(); {
		lines <- s.Text()
	}
}

// down SIGNAL stops the relay, which must exit with 0.
func (ps *processes) down(ts *testscript.TestScript, neg bool, args []string) {
	p := ps.swap(ts, nil)
	if neg || p == nil || len(args) != 1 {
		ts.Fatalf("down: not here")
	}
	ts.Check(p.cmd.Process.Signal(map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt}[args[0]]))
	killer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()

	for range p.lines { // read to the end before Wait closes it
	}
	if err := p.cmd.Wait(); err != nil {
		ts.Fatalf("relay after SIG%s: %v\n%s", args[0], err, p.stderr.String())
	}
}
