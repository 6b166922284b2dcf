//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/test/leash"
)

// asTrial is set if this program should be trial, and not its test.
const asTrial = "TRIAL_TEST_AS_TRIAL"

func TestMain(m *testing.M) {
	if os.Getenv(asTrial) != "" {
		main()
	}
	os.Exit(leash.Run(m.Run))
}

// trial returns a run of trial whose command is a shell script.
func trial(t *testing.T, script string, flags ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(flags, "/bin/sh", "-c", script)...)
	cmd.Env = append(os.Environ(), asTrial+"=1")
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// ends runs it and returns its output and exit code.
func ends(t *testing.T, cmd *exec.Cmd) (said string, code int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// busyUntil is a script that waits until trial, its parent, has used a number of ticks of processor time (hundredths of
// a second): without busy loops it never ends.
const busyUntil = `until [ "$(cut -d' ' -f14 /proc/$PPID/stat)" -gt 20 ]; do sleep 0.02; done; `

// A series prints a line for each run and a summary. Busy loops run beside it all the time.
func TestSeriesPasses(t *testing.T) {
	t.Parallel()
	said, code := ends(t, trial(t, busyUntil+"echo and more; echo 5 passed, 0 failed", "-runs", "3", "-busy", "2"))
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if code != 0 || len(lines) != 4 {
		t.Fatalf("exit %d, said %q", code, said)
	}

	for i, want := range []string{"run 1 of 3: 5 passed, 0 failed, in ", "run 2 of 3: 5 passed", "run 3 of 3: 5 passed",
		"all 3 runs passed, with 2 busy loops beside, on "} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("said %q, want %q", lines[i], want)
		}
	}
}

// A series stops at the first run that fails, and says where to read its output.
func TestSeriesStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	cmd := trial(t, "echo once >>runs; echo the reason; echo 4 passed, 1 failed; [ $(wc -l <runs) -lt 2 ]", "-runs",
		"5", "-logs", "logs")
	said, code := ends(t, cmd)
	for _, want := range []string{"run 2 of 5: failed after ", "4 passed, 1 failed: exit status 1\n",
		"stopped at run 2 of 5, with 0 busy loops beside", "in logs/run-2.log\n"} {
		if code != 1 || !strings.Contains(said, want) {
			t.Errorf("exit %d, said %q, want %q", code, said, want)
		}
	}

	if log, err := os.ReadFile(filepath.Join(cmd.Dir, "logs/run-2.log")); !bytes.Contains(log, []byte("the reason\n")) {
		t.Errorf("the log is %q, %v", log, err)
	}
}

// A single run prints what the command does, and ends as it does.
func TestOneRunIsTheCommand(t *testing.T) {
	t.Parallel()
	if said, code := ends(t, trial(t, "echo 4 passed, 1 failed; exit 7")); code != 7 || said != "4 passed, 1 failed\n" {
		t.Errorf("exit %d, said %q", code, said)
	}
}

// A command that leaves something behind has failed, whatever its exit code.
func TestLeavingIsFailing(t *testing.T) {
	t.Parallel()
	for what, script := range map[string]string{
		"left running, now killed:\n": "sleep 600 >/dev/null 2>&1 & echo 5 passed, 0 failed",
		"left behind, now removed:\n": "mktemp >/dev/null; echo 5 passed, 0 failed",
	} {
		if said, code := ends(t, trial(t, script)); code != 1 || !strings.Contains(said, what) {
			t.Errorf("exit %d, said %q; want 1 and %q", code, said, what)
		}
	}
}

// A series and everything that it has started end with Ctrl-C, and when the parent of trial ends.
func TestInterruptedSeriesEnds(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(*exec.Cmd) error{
		"Ctrl-C":             func(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) },
		"kill":               func(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) },
		"kill -9":            func(cmd *exec.Cmd) error { return cmd.Process.Kill() },
		"its parent's death": func(cmd *exec.Cmd) error { return cmd.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The command's child holds the fifo, and writes its own number there.
			fifo := filepath.Join(t.TempDir(), "alive")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}

			cmd := trial(t, "setsid sh -c 'trap \"\" INT TERM; echo here; while :; do sleep 600; done' >"+fifo+
				" & wait", "-runs", "2", "-busy", "1")
			if name == "its parent's death" {
				cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `"$0" "$@"; exit`}, cmd.Args...)
			}

			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said // Wait waits for everybody who holds them
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			alive, err := os.Open(fifo)
			if err != nil {
				t.Fatal(err)
			}

			defer alive.Close()
			lines := bufio.NewReader(alive)
			if line, err := lines.ReadString('\n'); line != "here\n" {
				t.Fatalf("%q, %v", line, err)
			}

			if err := interrupt(cmd); err != nil {
				t.Fatal(err)
			}
			if cmd.Wait() == nil {
				t.Error("it ended well")
			}

			// the end comes when nobody holds it any more
			if rest, err := lines.ReadString('\n'); err == nil || rest != "" {
				t.Errorf("%q, %v", rest, err)
			}
			if silent := !strings.HasPrefix(said.String(),
				"interrupted in run 1 of 2\n"); silent != (name == "kill -9") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}
