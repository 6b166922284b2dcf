//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/test/leash"
)

// interrupted is the exit code of a command that Ctrl-C has ended, as in shells.
const interrupted = 128 + int(syscall.SIGINT)

// config is what the command line says.
type config struct {
	runs, busy int
	logs       string
	command    []string
}

func parseConfig(args []string) (c config, err error) {
	flags := flag.NewFlagSet("trial", flag.ContinueOnError)
	flags.IntVar(&c.runs, "runs", 1, "how often the command runs")
	flags.IntVar(&c.busy, "busy", 0, "how many busy loops run beside it")
	flags.StringVar(&c.logs, "logs", ".stress", "directory for what each of several runs prints")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if c.command = flags.Args(); len(c.command) == 0 || c.runs < 1 || c.busy < 0 {
		return c, errors.New("trial: want [-runs N] [-busy N] [-logs DIR] COMMAND")
	}
	return c, nil
}

func main() { os.Exit(leash.Run(run)) }

func run() (code int) {
	c, err := parseConfig(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// make passes no signal on, and may itself be killed.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "trial: follow parent: %v\n", err)
		return 1
	}

	runtime.GOMAXPROCS(runtime.NumCPU() + c.busy)
	for range c.busy {
		go spin()
	}

	if c.runs == 1 {
		return c.once(ctx)
	}
	return c.series(ctx)
}

// spin keeps a processor busy.
func spin() {
	for x := uint64(1); ; x = x*3 + 1 {
	}
}
