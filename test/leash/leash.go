//go:build linux

package leash

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Leash is held from Hold until Release, or until its holder's process ends.
type Leash struct {
	mark   string // the name of an environment variable
	dir    string
	before string // TMPDIR, without this leash

	guard  *exec.Cmd
	pipe   *os.File // the guard waits for its end
	report io.Reader
}

// Run runs f on a leash and returns its exit code, or 1 if f has left something running. It is also what the guard
// runs, so it must come first in TestMain or main.
func Run(f func() (code int)) (code int) {
	if isGuard() {
		return guard()
	}

	l, err := Hold()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = f()
	l.await()
	if err := l.Release(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// await gives processes that are about to end the time to do so: a browser's processes, for example, end after it.
func (l *Leash) await() {
	const grace = 5 * time.Second
	for late := time.Now().Add(grace); len(marked(l.mark)) > 0 && time.Now().Before(late); {
		time.Sleep(lookEvery)
	}
}

// Hold puts this process on a leash: whatever it starts from now on is marked, and os.TempDir names a directory of the
// leash's own.
func Hold() (*Leash, error) {
	dir, err := makeDir()
	if err != nil {
		return nil, fmt.Errorf("make directory of leash: %w", err)
	}
	l := &Leash{mark: "PEEPHOLE_LEASH_" + rand.Text(), dir: dir, before: os.Getenv("TMPDIR")}
	if err := l.startGuard(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start guard: %w", err)
	}

	// The guard was started before, and so does not bear the mark of its own leash.
	return l, errors.Join(os.Setenv(l.mark, "1"), os.Setenv("TMPDIR", dir))
}

// makeDir makes a temporary directory with a short name: browsers make sockets below it, whose paths have at most 107
// bytes (unix(7)), and leashes nest.
func makeDir() (dir string, err error) {
	for n := range 100 { // directories of dead holders may be in the way
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("leash-%d", os.Getpid()+n<<22))
		if err = os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return dir, err
}

// startGuard runs this program again, as the guard.
func (l *Leash) startGuard() error {
	waits, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer waits.Close()

	l.guard = &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{guardName, l.mark, l.dir},
		Dir:         "/",
		Stdin:       waits,
		Stderr:      os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}

	if l.report, err = l.guard.StdoutPipe(); err == nil {
		err = l.guard.Start()
	}
	if err != nil {
		pipe.Close()
		return err
	}

	l.pipe = pipe

	return nil
}

// Dir returns the leash's temporary directory.
func (l *Leash) Dir() string { return l.dir }

// Release ends everything that is still running and removes the directory. Its error names what was left.
func (l *Leash) Release() error {
	os.Unsetenv(l.mark)
	os.Setenv("TMPDIR", l.before)

	files := leftFiles(l.dir)
	l.pipe.Close()
	processes, err := io.ReadAll(l.report)
	err = errors.Join(err, l.guard.Wait())

	if len(processes) > 0 {
		err = errors.Join(err, fmt.Errorf("left running, now killed:\n%s", strings.TrimSuffix(string(processes), "\n")))
	}
	if len(files) > 0 {
		err = errors.Join(err, fmt.Errorf("left behind, now removed:\n%s", strings.Join(files, "\n")))
	}

	return err
}

// leftFiles lists some of the files in a directory.
func leftFiles(dir string) (names []string) {
	const most = 20
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path == dir {
			return nil
		}
		if names = append(names, path); len(names) == most {
			return fs.SkipAll
		}
		return nil // what cannot be read is named all the same
	})

	return names
}
