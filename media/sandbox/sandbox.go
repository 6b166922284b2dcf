// Package sandbox starts a program that reads untrusted data, with no more rights than it needs.
//
// On Linux the program can open only the files that it needs, write none, use only the sockets that it needs, gain no
// privileges, make no system calls that such a program has no use for, and leave no core dump. A protection that the
// kernel or a container lacks is left out, and [Held] says so; it never keeps the program from running. The program
// dies with the process that started it. On other systems it runs without protections.
//
// The package never restricts the rest of the process. It imports no other package of this module.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package sandbox

import (
	"context"
	"os"
	"os/exec"
	"time"
)

// Network is what a program may use sockets for. The zero value allows nothing.
type Network struct {
	TCP   uint16 // connect to this port of any host; 0 allows no port
	Names bool   // look up host names
	Local bool   // use the sockets of local services, which look up names such as camera.local
}

// Needs are what a program needs beyond its own file and libraries.
type Needs struct {
	Read    []string // files and folders to read
	Device  string   // a device to read, write and control; empty for none
	Network Network
}

// Held lists the protections that hold, in words for a log.
type Held struct {
	By      []string // the protections that hold
	Missing []string // those that do not, and why; empty if all of them hold
}

// Process is a running program.
type Process struct {
	Held Held
	cmd  *exec.Cmd
	gone chan struct{} // closed after Wait
}

// Start starts cmd. It replaces the environment by the variables that locate programs and libraries, and by a locale of
// plain English.
func Start(cmd *exec.Cmd, needs Needs) (*Process, error) { return start(cmd, &needs) }

// StartFree starts cmd without protections, except that it replaces the environment as Start does and that the program
// dies with its parent.
func StartFree(cmd *exec.Cmd) (*Process, error) { return start(cmd, nil) }

func start(cmd *exec.Cmd, needs *Needs) (*Process, error) {
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	if path, ok := os.LookupEnv(libraryPath); ok {
		cmd.Env = append(cmd.Env, libraryPath+"="+path)
	}

	p := &Process{cmd: cmd, gone: make(chan struct{})}
	if err := p.start(needs); err != nil {
		close(p.gone)
		return nil, err
	}
	return p, nil
}

// libraryPath is the variable that lists folders of libraries.
const libraryPath = "LD_LIBRARY_PATH"

// Wait is like [exec.Cmd.Wait]. It must be called exactly once.
func (p *Process) Wait() error {
	defer close(p.gone)
	return p.cmd.Wait()
}

// versionWithin is how long a program may take to print its version.
const versionWithin = 20 * time.Second

// Fits reports whether a program starts with protections at all, by asking for its version. A program that is installed
// in an unusual place or needs privileges to start does not. No untrusted data can influence the result.
func Fits(ctx context.Context, program, versionFlag string, needs Needs) bool {
	ctx, cancel := context.WithTimeout(ctx, versionWithin)
	defer cancel()
	p, err := Start(exec.CommandContext(ctx, program, versionFlag), needs)
	return err == nil && p.Wait() == nil
}
