package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/test/natlab"
)

// conversation is a command with a person at its terminal.
type conversation struct {
	cmd      *exec.Cmd
	terminal *os.File
	said     *tape
	ended    chan error
}

// converse runs a subcommand of the viewer at a terminal of its own.
func (v terminal) converse(t *testing.T, args ...string) *conversation {
	t.Helper()
	return converse(t, "viewer", append(v.flags, args...)...)
}

// converse runs one of our commands at a terminal of its own.
func converse(t *testing.T, name string, args ...string) *conversation {
	t.Helper()
	person, program := openTerminal(t)
	defer program.Close()
	cmd := exec.Command(filepath.Join(binaries(t), name), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}

	c := &conversation{cmd: cmd, terminal: person, said: &tape{}, ended: make(chan error, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(c.said, person) // ends with an error when the program has closed its end
	}()
	go func() {
		err := cmd.Wait()
		<-read
		c.ended <- err
	}()

	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return c
}

// openTerminal opens a pseudo-terminal.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		missing(t, "pseudo-terminals: "+err.Error())
	}

	t.Cleanup(func() { person.Close() })

	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}

	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// sees waits until the terminal shows a text.
func (c *conversation) sees(t *testing.T, text string) {
	t.Helper()
	within(t, 30*time.Second, "the terminal shows "+text, func() bool { return strings.Contains(c.screen(), text) })
}

func (c *conversation) screen() string {
	c.said.mu.Lock()
	defer c.said.mu.Unlock()
	return strings.NewReplacer("\x00", "", "\r\n", "\n").Replace(c.said.data.String())
}

func (c *conversation) types(t *testing.T, text string) {
	t.Helper()
	if _, err := c.terminal.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// end waits for the command's exit code.
func (c *conversation) end(t *testing.T) int {
	t.Helper()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		t.Fatalf("the command does not end; the terminal shows\n%s", c.screen())
		return -1
	}
}

// A person at a terminal sees the words that the camera shows, and is asked before the viewer reaches the relay. Unless
// the answer is yes, nothing is sent.
func TestTerminalAsksBeforeItPairs(t *testing.T) {
	t.Parallel()
	a := startNewcomer(t)
	book, sim, link := a.book, a.sim, a.link

	for _, tt := range []struct{ name, answer string }{
		{"no", "n\n"},
		{"nothing", "\n"},
		{"something else", "sure, why not\n"},
		{"end of input", "\x04"},
		{"interrupt", "\x03"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTerminal(t).converse(t, "pair", link)
			c.sees(t, "Pair? [y/N] ")
			for _, want := range []string{"Add a NEW camera?\n", "\n  words  " + a.words + "\n",
				"\n  relay  " + book.URL + "\n"} {
				if !strings.Contains(c.screen(), want) {
					t.Errorf("the terminal shows\n%s\nwant %q", c.screen(), want)
				}
			}

			c.types(t, tt.answer)
			if code := c.end(t); code != 1 ||
				!strings.Contains(c.screen(), "viewer: pair: not paired: nothing was sent\n") {
				t.Errorf("exit %d, the terminal shows\n%s", code, c.screen())
			}
		})
	}

	t.Run("an answer that was pasted with the link", func(t *testing.T) {
		c := newTerminal(t).converse(t, "pair", "-")
		c.types(t, link+"\ny\n")
		c.sees(t, "Pair? [y/N] ")
		c.types(t, "n\n")
		if code := c.end(t); code != 1 ||
			!strings.Contains(c.screen(), "viewer: pair: not paired: nothing was sent\n") {
			t.Errorf("exit %d, the terminal shows\n%s", code, c.screen())
		}
	})

	if connections, requests := book.read(); connections != 0 {
		t.Fatalf("the relay was reached %d times, and asked for %q, before anybody agreed", connections, requests)
	}

	v := newTerminal(t)
	c := v.converse(t, "pair", "-") // the code comes from the terminal too
	c.types(t, "pair sim-0 "+link+"\n")
	c.sees(t, "Pair? [y/N] ")
	if connections, _ := book.read(); connections != 0 {
		t.Fatalf("the relay was reached %d times before the person agreed", connections)
	}

	c.types(t, "Yes\n")
	if code := c.end(t); code != 0 || !strings.Contains(c.screen(), "\npaired sim-0 with camera ") {
		t.Fatalf("exit %d, the terminal shows\n%s", code, c.screen())
	}
	calledAlike(t, c.screen(), sim.line(t, "paired sim-0 with viewer "))

	again := v.converse(t, "pair", sim.line(t, "pair sim-0 "))
	again.sees(t, "Pair? [y/N] ")
	if !strings.Contains(again.screen(), "You already have this camera: sim-0. Pair with it again?\n") {
		t.Errorf("of a camera that is paired already the terminal shows\n%s", again.screen())
	}

	again.types(t, "n\n")
	again.end(t)
}

// calledAlike checks that the camera names the new viewer by the words that the viewer showed.
func calledAlike(t *testing.T, viewer, camera string) {
	t.Helper()
	_, ours, _ := strings.Cut(viewer, "the camera calls this viewer: ")
	ours, _, _ = strings.Cut(ours, "\n")
	if len(strings.Fields(ours)) != 3 || !strings.HasSuffix(camera, " ("+ours+")") {
		t.Errorf("the viewer says that its name is %q, and the camera says %q", ours, camera)
	}
}

// Where there is nobody to ask, the words are printed; with -yes, not even a person at a terminal is asked.
func TestScriptsPairWithoutBeingAsked(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())

	link, words := sim.line(t, "pair sim-0 "), sim.line(t, "words sim-0 ")
	o := newTerminal(t).run(t, "pair", link)
	if o.code != 0 || !strings.HasPrefix(o.stdout, "paired sim-0 with camera ") || strings.Count(o.stdout, "\n") != 1 {
		t.Fatalf("exit %d, standard output %q, standard error %q", o.code, o.stdout, o.stderr)
	}
	if !strings.Contains(o.stderr, "\n  words  "+words+"\n") || strings.Contains(o.stderr, "[y/N]") {
		t.Errorf("standard error %q, want the words %s and no question", o.stderr, words)
	}

	calledAlike(t, o.stderr, sim.line(t, "paired sim-0 with viewer "))

	c := newTerminal(t).converse(t, "pair", sim.line(t, "pair sim-0 "), "-yes")
	code, screen := c.end(t), c.screen()
	if code != 0 || strings.Contains(screen, "[y/N]") || !strings.Contains(screen, "\n  words  "+words+"\n") {
		t.Errorf("exit %d, the terminal shows\n%s", code, c.screen())
	}
}
