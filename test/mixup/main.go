// Command mixup runs the incident of February 2024 at its size: a camera maker's cloud came back from a restart, a
// cache crossed ids under the load of everybody's return, and 13,000 people saw strangers' homes.
//
// Here as many households, each a camera and a viewer with identities and a pairing of their own, use a real relay in
// several nodes. It loses all its state and comes back with all its lookups permuted, and everybody returns at once and
// asks for a picture. The mark inside a picture says whose it is, and nothing else does. The same program built with
// the tag "unsealed" is the control: the same households and the same cloud, but cameras that send their pictures as
// they are. Its counts show that the experiment can fail.
//
//	mixup run -state DIR -result FILE      one experiment; DIR keeps the households for the next
//	mixup report SEALED UNSEALED DOC PLOT  the table and the plot of two results
//
// It only uses loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mixup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say run or report: see make mixup")
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:])
	case "shard":
		return shardCommand(ctx, args[1:])
	case "report":
		return reportCommand(args[1:])
	}

	return fmt.Errorf("unknown command %q: say run or report", args[0])
}

func runCommand(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	var e experiment
	fs.IntVar(&e.Households, "households", 13000, "how many, each with a camera and a viewer")
	fs.IntVar(&e.Sample, "sample", 200,
		"how many of them watch through TURN at the same time; in the sealed experiment only")
	fs.DurationVar(&e.live, "live", 8*time.Second, "for how long the cloud crosses live video")
	fs.DurationVar(&e.down, "down", 5*time.Second, "for how long it is away then")
	fs.DurationVar(&e.fault, "fault", 30*time.Second, "for how long at least it then crosses what it delivers")
	fs.StringVar(&e.state, "state", "",
		"`directory` of the devices' keys; households that are there are not paired again")
	result := fs.String("result", "", "write the counts to this JSON `file`")
	if err := fs.Parse(args); err != nil {
		return err
	}

	if e.state == "" || *result == "" {
		return errors.New("say -state DIR and -result FILE")
	}
	if err := e.check(); err != nil {
		return err
	}
	if err := e.run(ctx); err != nil {
		return err
	}
	return e.Result.write(*result)
}
