package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An outcome is what became of a fault.
type outcome int

const (
	noticed  outcome = iota // a test failed
	hung                    // the tests ran out of time
	unbuilt                 // the compiler refused it, or vet would
	survived                // no test noticed
	argued                  // no test noticed, for a reason in argued.txt
)

// A trial is the outcomes of the faults planted in one package.
type trial struct {
	target
	arguments map[string]string // by key
	outcomes  map[outcome]int
}

// run plants the faults one after another. It writes each that goes unnoticed and is not argued to w at once, and
// finally the outcomes of all that were tried.
func (t trial) run(ctx context.Context, w io.Writer, faults []site) error {
	defer t.report(w)
	for _, s := range faults {
		o, err := t.try(ctx, s)
		if err != nil {
			return fmt.Errorf("try %s: %w", s, err)
		}

		switch {
		case o == survived && t.arguments[s.key] != "":
			o = argued
		case o == survived:
			fmt.Fprintf(w, "%s: unnoticed\n  %s\n", s, s.key)
		case t.arguments[s.key] != "":
			fmt.Fprintf(w, "%s: argued, and a test notices it\n  %s\n", s, s.key)
		}
		t.outcomes[o]++
	}

	return nil
}

// try runs the package's tests with the fault in place.
func (t target) try(ctx context.Context, s site) (o outcome, err error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	overlay, err := s.overlay(dir)
	if err != nil {
		return 0, err
	}

	binary := filepath.Join(dir, "test")
	build := exec.CommandContext(ctx, "go", "test", "-vet=off", "-c", "-ldflags=-w", "-overlay="+overlay,
		"-o", binary, t.ImportPath)
	if err := build.Run(); ctx.Err() != nil {
		return 0, ctx.Err()
	} else if err != nil {
		return unbuilt, nil
	}

	quick, slow := t.split(t.reaching(s))
	for _, tests := range [][]reach{quick, slow} {
		if o, err := t.test(ctx, binary, tests); o != survived || err != nil {
			return o, err
		}
	}

	return survived, nil
}

// soon is the longest time that a test may take to be run before the others. One of those notices most faults.
const soon = 100 * time.Millisecond

func (t target) split(tests []reach) (quick, slow []reach) {
	for _, r := range tests {
		if r.took < soon {
			quick = append(quick, r)
		} else {
			slow = append(slow, r)
		}
	}
	return quick, slow
}

// test runs some of a test binary's tests, until one fails.
func (t target) test(ctx context.Context, binary string, tests []reach) (outcome, error) {
	if len(tests) == 0 {
		return survived, nil
	}
	var names []string
	limit := 20 * time.Second
	for _, r := range tests {
		names = append(names, r.name)
		limit += 3 * r.took
	}

	run := t.command(ctx, binary, "-test.run=^("+strings.Join(names, "|")+")$", "-test.failfast",
		"-test.timeout="+limit.String())
	out, err := run.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err == nil:
		return survived, nil
	case !errors.As(err, &failed):
		return 0, err
	case bytes.Contains(out, []byte("panic: test timed out after")):
		return hung, nil
	}

	return noticed, nil
}

// overlay writes the changed file and the compiler's note of it to dir, and returns the note's path.
func (s site) overlay(dir string) (string, error) {
	source, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(s.file)
	if err != nil {
		return "", err
	}

	changed := filepath.Join(dir, filepath.Base(s.file))
	if err := os.WriteFile(changed, s.plant(source), 0o600); err != nil {
		return "", err
	}

	note := filepath.Join(dir, "overlay.json")
	content := fmt.Sprintf(`{"Replace":{%s:%s}}`, strconv.Quote(original), strconv.Quote(changed))
	return note, os.WriteFile(note, []byte(content), 0o600)
}

// report writes how many faults had which outcome.
func (t trial) report(w io.Writer) {
	n := t.outcomes
	planted := n[noticed] + n[hung] + n[survived] + n[argued]
	fmt.Fprintf(w, "%s: %d of %d places tried, %d noticed, %d by hanging, %d unnoticed, %d argued\n", t.ImportPath,
		planted, len(t.sites), n[noticed], n[hung], n[survived], n[argued])
}
