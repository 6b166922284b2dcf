//go:build linux

package leash

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable says what this program is when it runs itself. Without it, it tests.
const roleVariable = "LEASH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "holder":
		os.Exit(Run(hold))
	case "holder of holders":
		os.Exit(Run(holdHolder))
	case "tenacious":
		tenacious()
	}
	os.Exit(Run(m.Run))
}

// hold starts what a careless test does, prints where that is, and ends as standard input asks it to.
func hold() int {
	// A process that a shell starts in the background ignores these, with or without nohup(1), and so do its children.
	deadly := make(chan os.Signal, 1)
	signal.Notify(deadly, syscall.SIGINT, syscall.SIGHUP)
	go func() { <-deadly; os.Exit(3) }()

	file := filepath.Join(os.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		fmt.Println(err)
		return 2
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=tenacious")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		fmt.Println(err)
		return 2
	}

	pids, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		fmt.Println(err)
		return 2
	}
	fmt.Println(os.TempDir(), strings.TrimSpace(pids))

	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if line == "tidy\n" {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		os.Remove(file)
	}

	return 0
}

// holdHolder runs a holder, whose line is also its own.
func holdHolder() int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=holder")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = cmd.Run() // it is killed, like its holder
	return 0
}

// tenacious is a child in a session of its own that ignores every signal it can, and has a child that has cleared its
// environment. It prints both their numbers.
func tenacious() {
	cmd := exec.Command("/bin/sh", "-c", "trap '' INT TERM HUP; echo $$; while :; do sleep 600; done")
	cmd.Env = []string{} // not nil, which would be ours
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}

	pid, _ := bufio.NewReader(out).ReadString('\n')
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println(os.Getpid(), strings.TrimSpace(pid))
	time.Sleep(time.Hour)
}

// A holder is a run of hold.
type holder struct {
	*exec.Cmd
	stdin interface{ WriteString(string) (int, error) }
	said  *strings.Builder // on standard error
	dir   string
	pids  []int
}

func startHolder(t *testing.T, role string) *holder {
	t.Helper()
	h := &holder{Cmd: exec.Command(os.Args[0]), said: &strings.Builder{}}
	h.Env, h.Stderr = append(os.Environ(), roleVariable+"="+role), h.said
	h.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { read.Close(); write.Close() })
	h.Stdin, h.stdin = read, write
	out, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}

	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 3 {
		t.Fatalf("%q, %v", line, err)
	}
	h.dir = fields[0]

	for _, f := range fields[1:] {
		pid, err := strconv.Atoi(f)
		if err != nil || !running(pid) {
			t.Fatalf("%s does not run, %v", f, err)
		}
		h.pids = append(h.pids, pid)
	}

	return h
}

func running(pid int) bool {
	_, alive := parentOf(fmt.Sprintf("/proc/%d/stat", pid))
	return alive
}

// gone checks that nothing is left. That is true as soon as Wait has returned: the guard holds the holder's standard
// error, so Wait waits for it too.
func (h *holder) gone(t *testing.T) {
	t.Helper()
	for _, pid := range h.pids {
		if running(pid) {
			t.Errorf("process %d is left", pid)
		}
	}

	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", h.dir, err)
	}
}

// However its holder ends, nothing is left of what it started: not its child, which ignores signals in a session of its
// own, not that one's child, which has no mark, and no file.
func TestNothingOutlivesItsHolder(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "kill": syscall.SIGTERM,
		"kill -9": syscall.SIGKILL, "a hangup": syscall.SIGHUP, "a timeout": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHolder(t, "holder")
			// As a terminal does, and anybody who kills a whole job: the signal goes to the process group.
			if err := syscall.Kill(-h.Process.Pid, s); err != nil {
				t.Fatal(err)
			}

			if h.Wait() == nil {
				t.Error("it ended well")
			}
			h.gone(t)
		})
	}
}

// A test that leaves something behind and ends well fails, and says what it was.
func TestWhatIsLeftIsTold(t *testing.T) {
	t.Parallel()
	h := startHolder(t, "holder")
	if _, err := h.stdin.WriteString("careless\n"); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := h.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit 1", err)
	}

	h.gone(t)
	for _, want := range []string{fmt.Sprintf("left running, now killed:\n  %d ", h.pids[0]),
		fmt.Sprintf("\n  %d /bin/sh -c trap", h.pids[1]), "left behind, now removed:\n" + h.dir + "/file\n"} {
		if !strings.Contains(h.said.String(), want) {
			t.Errorf("said %q, want %q", h.said.String(), want)
		}
	}
}

// A leash within a leash ends with it, whatever has become of the inner one's holder.
func TestLeashesNest(t *testing.T) {
	t.Parallel()
	h := startHolder(t, "holder of holders")
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if h.Wait() == nil {
		t.Error("it ended well")
	}
	h.gone(t)
}
