//go:build linux

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// buildRig builds a program of test/ beside our commands.
func buildRig(name string) error {
	dir, err := built()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./test/"+name)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	return cmd.Run()
}

// rig is a running program of test/ that takes orders on its standard input.
type rig struct {
	*process
	input io.Writer
}

func startRig(t testing.TB, on *natlab.Host, name string, args ...string) (r rig) {
	t.Helper()
	begin := func(cmd *exec.Cmd) (err error) {
		if r.input, err = cmd.StdinPipe(); err != nil {
			return err
		}
		return on.Start(cmd)
	}
	r.process = startBy(t, begin, name, args...)
	return r
}

// tell writes a line to the rig.
func (r rig) tell(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(r.input, line+"\n"); err != nil {
		t.Fatal(err)
	}
}
