package hangup

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something before it fails.
const patience = time.Minute

// TestMain lets the test binary also be the command that the tests send signals to.
func TestMain(m *testing.M) {
	if os.Getenv("HANGUP_COMMAND") == "" {
		os.Exit(m.Run())
	}
	ctx, hangups, stop := NotifyContext()
	defer stop()

	out := os.NewFile(3, "pipe")
	fmt.Fprintln(out, "ready")
	for {
		select {
		case <-hangups:
			if ctx.Err() == nil {
				fmt.Fprintln(out, "hangup")
			}
		case <-ctx.Done():
			fmt.Fprintln(out, "over")
			return
		}
	}
}

// command is a running command that prints what happens to it.
type command struct {
	*exec.Cmd
	lines chan string
}

// start runs the command, with a terminal or without.
func start(t *testing.T, terminal *os.File) *command {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &command{exec.Command(os.Args[0]), make(chan string, 16)}
	c.Env, c.ExtraFiles = append(os.Environ(), "HANGUP_COMMAND=1"), []*os.File{in}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if terminal != nil {
		c.Stdin, c.Stdout, c.Stderr = terminal, terminal, terminal
		c.SysProcAttr.Setctty = true
	}

	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()

	go func() {
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
		out.Close()
	}()

	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	c.says(t, "ready")
	return c
}

// says waits for the command's next line, which must be want.
func (c *command) says(t *testing.T, want string) {
	t.Helper()
	select {
	case line := <-c.lines:
		if line != want {
			t.Fatalf("said %q, want %q", line, want)
		}
	case <-time.After(patience):
		t.Fatalf("does not say %q", want)
	}
}

// newTerminal returns both sides of a terminal.
func newTerminal(t *testing.T) (emulator, terminal *os.File) {
	t.Helper()
	emulator, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(emulator.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(emulator.Fd()), unix.TIOCSPTLCK, 0)
	}

	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emulator.Close(); terminal.Close() })

	return emulator, terminal
}

func TestHangupEndsNothing(t *testing.T) {
	for name, inTerminal := range map[string]bool{"a service": false, "in a terminal": true} {
		t.Run(name, func(t *testing.T) {
			var terminal *os.File
			if inTerminal {
				_, terminal = newTerminal(t)
			}
			c := start(t, terminal)
			for range 3 {
				if err := c.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				c.says(t, "hangup")
			}

			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			c.says(t, "over")
		})
	}
}

func TestClosedTerminalEndsTheCommand(t *testing.T) {
	emulator, terminal := newTerminal(t)
	c := start(t, terminal)
	terminal.Close()
	if err := emulator.Close(); err != nil {
		t.Fatal(err)
	}
	c.says(t, "over")
}
