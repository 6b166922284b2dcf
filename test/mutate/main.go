// Command mutate plants small faults in the product's packages, one at a time, and runs each package's own tests
// against it. A fault that no test notices is a survivor: either a test is missing, or the change makes no difference
// that anybody could see. The second is argued in argued.txt, one survivor at a time.
//
//	mutate [-n 20] [-seed 1] [-run REGEXP] [-tests REGEXP] [-argued FILE] PACKAGE...
//
// A fault changes one comparison, one condition or one constant (site.go lists them). Only code that the package's
// tests reach is changed, and only the tests that reach it are run, until one fails. The source tree stays as it is:
// the compiler reads the changed file through an overlay. The command fails when a survivor has not been argued.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()

	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("mutate", flag.ContinueOnError)
	most := fs.Int("n", 20, "faults for each package, drawn by the seed; 0 means all")
	seed := fs.Uint64("seed", 1, "draws the faults; the same seed draws the same faults")
	only := fs.String("run", "", "plant only the faults whose key matches this `regexp`")
	tests := fs.String("tests", ".",
		"run only the tests whose name matches this `regexp`, and plant faults where these reach")
	argued := fs.String("argued", "test/mutate/argued.txt", "the `file` of survivors that were argued")
	if err := fs.Parse(args); err != nil {
		return err
	}

	if fs.NArg() == 0 {
		return errors.New("no package named; try: mutate ./crypto/sframe")
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}

	arguments, err := readArguments(*argued)
	if err != nil {
		return err
	}

	var open int
	err = load(ctx, fs.Args(), *tests, func(p target) error {
		t := trial{target: p, arguments: arguments, outcomes: make(map[outcome]int)}
		err := t.run(ctx, os.Stdout, draw(p.sites, pattern, *most, *seed))
		open += t.outcomes[survived]
		return err
	})
	if err != nil {
		return err
	}

	if open > 0 {
		return fmt.Errorf("%d faults went unnoticed; add a test for each, or argue it in %s", open, *argued)
	}
	return nil
}
