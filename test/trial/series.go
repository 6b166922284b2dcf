//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/peephole-cam/peephole/test/leash"
)

// once runs the command with the standard streams of trial.
func (c config) once(ctx context.Context) (code int) {
	err := c.runTo(ctx, os.Stdout, os.Stderr)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return interrupted
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintf(os.Stderr, "trial: %v\n", err)
		return 1
	}

	return 0
}

// series runs the command the given number of times, or until it fails.
func (c config) series(ctx context.Context) (code int) {
	if err := os.MkdirAll(c.logs, 0o755); err != nil {
		fmt.Fprintf(os.Stderr, "trial: make directory of logs: %v\n", err)
		return 1
	}
	beside := fmt.Sprintf("with %d busy loops beside, on %d processors", c.busy, runtime.NumCPU())

	for n := range c.runs {
		began := time.Now()
		log := filepath.Join(c.logs, fmt.Sprintf("run-%d.log", n+1))
		last, err := c.logged(ctx, log)
		switch took := time.Since(began).Round(time.Second); {
		case ctx.Err() != nil:
			fmt.Printf("interrupted in run %d of %d\n", n+1, c.runs)
			return interrupted
		case err != nil:
			fmt.Printf("run %d of %d: failed after %s: %s: %v\n", n+1, c.runs, took, last, err)
			fmt.Printf("stopped at run %d of %d, %s; what it printed is in %s\n", n+1, c.runs, beside, log)
			return 1
		default:
			fmt.Printf("run %d of %d: %s, in %s\n", n+1, c.runs, last, took)
		}
	}

	fmt.Printf("all %d runs passed, %s\n", c.runs, beside)
	return 0
}

// logged runs the command once with its output in a file, and returns the last line there.
func (c config) logged(ctx context.Context, path string) (last string, err error) {
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()

	err = c.runTo(ctx, file, file)
	text, readErr := os.ReadFile(path)
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:]), errors.Join(err, readErr)
}

// runTo runs the command once. When ctx ends, it kills the command and everything that this has started.
func (c config) runTo(ctx context.Context, stdout, stderr *os.File) error {
	l, err := leash.Hold()
	if err != nil {
		return err
	}
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return errors.Join(err, l.Release())
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
		return errors.Join(err, l.Release())
	case <-ctx.Done():
		_ = l.Release() // its error would name what was running: everything
		<-ended
		return ctx.Err()
	}
}
