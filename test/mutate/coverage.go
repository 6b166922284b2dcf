package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A reach is one test: which lines of its package it reaches, and how long it takes without a fault.
type reach struct {
	name  string
	lines lines
	took  time.Duration
}

// coverage runs each of the package's tests whose name matches, one at a time, and returns what each reaches.
func (p listed) coverage(ctx context.Context, matching string) (tests []reach, err error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	binary, profile := filepath.Join(dir, "test"), filepath.Join(dir, "profile")
	build := exec.CommandContext(ctx, "go", "test", "-vet=off", "-c", "-cover", "-o", binary, p.ImportPath)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, nil // there are no tests
	}

	names, err := p.command(ctx, binary, "-test.list="+matching).Output()
	if err != nil {
		return nil, fmt.Errorf("list tests: %w", err)
	}
	for _, name := range strings.Fields(string(names)) {
		if strings.HasPrefix(name, "Benchmark") {
			continue
		}
		one, err := p.reach(ctx, binary, profile, name)
		if err != nil {
			// a single failure on a busy machine must not waste an hour of trials
			one, err = p.reach(ctx, binary, profile, name)
		}

		if err != nil {
			return nil, err
		}
		tests = append(tests, one)
	}

	return tests, nil
}

// reach runs one test alone.
func (p listed) reach(ctx context.Context, binary, profile, name string) (reach, error) {
	start := time.Now()
	run := p.command(ctx, binary, "-test.run=^"+name+"$", "-test.coverprofile="+profile)
	if out, err := run.CombinedOutput(); err != nil {
		return reach{}, fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	took := time.Since(start)

	reached, err := readProfileFile(profile)
	return reach{name: name, lines: reached, took: took}, err
}

// command is one of the package's test binaries, run where go test would run it.
func (p listed) command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	run := exec.CommandContext(ctx, binary, args...)
	run.Dir = p.Dir
	return run
}

// lines says which lines of each file, by import path and name, are in a statement, and whether any test reached them.
type lines map[string]map[int]bool

// has reports whether a test reached the line. A line that is in no statement, such as a constant's, counts as reached.
func (l lines) has(file string, line int) bool {
	reached, inStatement := l[file][line]
	return reached || !inStatement
}

func readProfileFile(name string) (lines, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readProfile(f)
}

// readProfile reads a coverage profile: after the mode, lines of FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT.
func readProfile(r io.Reader) (lines, error) {
	out := make(lines)
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		file, rest, ok := strings.Cut(scan.Text(), ".go:")
		if !ok {
			continue // the mode
		}
		var from, to, column, statements, count int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &from, &column, &to, &column, &statements,
			&count); err != nil {
			return nil, fmt.Errorf("read coverage line %q: %w", scan.Text(), err)
		}

		file += ".go"
		if out[file] == nil {
			out[file] = make(map[int]bool)
		}
		for line := from; line <= to; line++ {
			out[file][line] = out[file][line] || count > 0
		}
	}

	return out, scan.Err()
}
