//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// killedVariable makes TestNothingIsLeftOfTheKilled the test that is killed; its value names the browser.
const killedVariable = "PEEPHOLE_E2E_KILLED"

// When a test with labs, relays, cameras and a browser in it is killed, by Ctrl-C or for good, it leaves no process, no
// namespace, no mount and no file behind. This test runs itself again as the one that is killed.
func TestNothingIsLeftOfTheKilled(t *testing.T) {
	if browser := os.Getenv(killedVariable); browser != "" {
		untilKilled(t, browser)
		return
	}
	natlab.Need(t)
	for _, tt := range []struct {
		browser, program string
		by               syscall.Signal
	}{
		{"firefox", "firefox-esr", syscall.SIGINT},
		{"chromium", "chromium", syscall.SIGKILL},
	} {
		t.Run(tt.browser, func(t *testing.T) {
			t.Parallel()
			need(t, "node", tt.program)
			// short, for the browser's sockets
			files, mounts := filepath.Join(os.TempDir(), "k-"+tt.browser[:1]), mounted(t)
			if err := os.Mkdir(files, 0o700); err != nil {
				t.Fatal(err)
			}

			t.Cleanup(func() { os.RemoveAll(files) })
			cmd := exec.Command(os.Args[0], "-test.run", "^TestNothingIsLeftOfTheKilled$")
			cmd.Env = append(os.Environ(), killedVariable+"="+tt.browser, "TMPDIR="+files)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
				t.Fatal(err)
			}

			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != "kill me" {
				said.WriteString(lines.Text() + "\n")
			}

			left := remains{processes: descendants(t, cmd.Process.Pid), files: files, mounts: mounts}
			left.namespaces = namespacesOf(t, left.processes)
			left.holds(t, &said)

			// As a terminal does: the signal goes to the whole job.
			if err := syscall.Kill(-cmd.Process.Pid, tt.by); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(patience, func() {
				t.Errorf("the test has survived %s", tt.by)
				_ = cmd.Process.Kill()
			})
			if cmd.Wait() == nil {
				t.Error("the test ended by itself")
			}

			late.Stop()
			left.areGone(t)
		})
	}
}

// untilKilled is a test with everything that could be left behind.
func untilKilled(t *testing.T, browser string) {
	deadly := make(chan os.Signal, 1)
	signal.Notify(deadly, syscall.SIGINT) // a test that a shell has started in the background ignores it
	go func() { <-deadly; os.Exit(3) }()

	s := newStage(t, natlab.PortRestricted, natlab.PortRestricted, "camera-sim")
	d := drive{
		Browser:  browser,
		Policy:   "plain",
		TrustAll: true,
		by:       s.person.Start,
		Steps:    []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"tell": "watching", "hear": true}},
	}

	d.run(t, func(string) {
		fmt.Println("kill me")
		<-t.Context().Done() // which is not done before the test's end
	})
}

// A running is a process; its number may later be another's.
type running struct {
	pid   int
	began string // in the kernel's ticks since the machine's start
	name  string
}

// statOf reads the stat file of a process (proc(5)).
func statOf(pid int) (p running, parent int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return running{}, 0, err
	}
	name, rest := bytes.IndexByte(text, '(')+1, bytes.LastIndexByte(text, ')') // the name may contain parentheses, too
	fields := strings.Fields(string(text[rest+1:]))                            // from the state on, the third field
	if fields[0] == "Z" {
		return running{}, 0, os.ErrProcessDone
	}

	parent, err = strconv.Atoi(fields[1])

	return running{pid, fields[19], string(text[name:rest])}, parent, err
}

// descendants returns a process and all its descendants.
func descendants(t *testing.T, of int) (all []running) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	children := make(map[int][]running)

	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		p, parent, err := statOf(pid)
		if err != nil {
			continue // it has ended since
		}
		if children[parent] = append(children[parent], p); pid == of {
			all = append(all, p)
		}
	}

	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	return all
}

// namespacesOf returns the network and mount namespaces that a thread of some processes is in, and this process is not.
// It holds them open until the test ends, or else the kernel would give their identities to the next ones, which may be
// another test's. Each is named after the open file, since its thread may have left it by the next look.
func namespacesOf(t *testing.T, processes []running) (all []string) {
	t.Helper()
	for _, p := range processes {
		for _, kind := range []string{"net", "mnt"} {
			own, _ := os.Readlink("/proc/thread-self/ns/" + kind) // the first thread may have ended in a lab's
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/%s", p.pid, kind))
			for _, thread := range threads {
				file, err := os.Open(thread)
				if err != nil {
					continue // it has ended since
				}
				id, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
				if err != nil || id == own || slices.Contains(all, id) {
					file.Close()
					continue
				}
				all = append(all, id)
				t.Cleanup(func() { file.Close() })
			}
		}
	}

	return all
}

// mounted returns what this process sees mounted.
func mounted(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// remains are what a test could leave behind.
type remains struct {
	processes  []running
	namespaces []string
	files      string // a directory
	mounts     string // from before
}

// holds checks that there is something that could be left behind.
func (r remains) holds(t *testing.T, said fmt.Stringer) {
	t.Helper()
	names := make(map[string]bool)
	for _, p := range r.processes {
		names[p.name] = true
	}

	files, err := os.ReadDir(r.files)
	if !names["relay"] || !names["camera-sim"] || len(r.processes) < 8 || len(r.namespaces) < 10 || err != nil ||
		len(files) == 0 {
		t.Fatalf("%d processes %v, %d namespaces, %d files, %v: this proves nothing\n%s", len(r.processes), names,
			len(r.namespaces), len(files), err, said)
	}
}

// areGone checks that soon nothing is left: a guard that has done its work still has to end itself, and the kernel
// removes a namespace when its last thread has gone.
func (r remains) areGone(t *testing.T) {
	t.Helper()
	eventually(t, "no process is left", func() bool {
		return !slices.ContainsFunc(r.processes, func(p running) bool {
			now, _, err := statOf(p.pid)
			return err == nil && now.began == p.began
		})
	})

	eventually(t, "no thread is left in a namespace of the test", func() bool {
		threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/*")
		if err != nil || len(threads) == 0 {
			t.Fatalf("no threads: %v", err)
		}
		return !slices.ContainsFunc(threads, func(thread string) bool {
			id, err := os.Readlink(thread)
			return err == nil && slices.Contains(r.namespaces, id)
		})
	})

	err := filepath.WalkDir(r.files, func(path string, _ fs.DirEntry, err error) error {
		if path != r.files {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	for line := range strings.Lines(mounted(t)) {
		if !strings.Contains(r.mounts, line) && strings.Contains(line, r.files) {
			t.Errorf("a mount is left: %s", line)
		}
	}
}
