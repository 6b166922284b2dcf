// Command camera is the agent beside a real camera: it reads an RTSP camera, a file, a V4L2 device or a test pattern,
// connects outbound to its relay, and serves the viewers it was paired with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/peephole-cam/peephole/internal/agent"
	"github.com/peephole-cam/peephole/media"
)

const usage = `camera: a real camera's picture, sealed, to those it was paired with

  camera [flags] -relay URL -input INPUT [-input-low INPUT]

INPUT is rtsp://… (H.264, not re-encoded), a file, /dev/videoN, or test (a test pattern).
Prints "pair NAME URI" for each pairing code of a camera without an owner.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var flags agent.Flags
	fs := flag.NewFlagSet("camera", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	flags.Register(fs, defaultState())
	name := fs.String("name", "camera", "what viewers see; sealed on its way")
	input := fs.String("input", "", "rtsp://…, a file, /dev/videoN, or test; - reads it from standard input, so that a password stays out of the process list")
	low := fs.String("input-low", "", "the same picture at a lower rate, such as an IP camera's substream, for viewers whose network does not carry the other for long")
	transcode := fs.Bool("transcode", false, "re-encode the input, where it has B-frames or a codec that browsers do not play")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see camera -h", fs.Arg(0))
	}
	source, err := openInput(*input, *transcode)
	if err != nil {
		return err
	}
	c := agent.Camera{Name: *name, State: flags.State, Source: func(string) media.Source { return source }}
	if *low != "" {
		if c.Low, err = openInput(*low, *transcode); err != nil {
			return fmt.Errorf("-input-low: %w", err)
		}
	}
	a, err := agent.New(flags, stdout, stderr)
	if err != nil {
		return err
	}
	return a.Run(ctx, []agent.Camera{c})
}

func openInput(name string, transcode bool) (media.Source, error) {
	if name == "" {
		return nil, errors.New("no input given: say -input rtsp://…, a file, /dev/videoN, or test")
	}
	if name == "-" {
		if _, err := fmt.Scanln(&name); err != nil {
			return nil, fmt.Errorf("read input's name from standard input: %w", err)
		}
	}
	input, err := media.ParseInput(name)
	if err != nil {
		return nil, err
	}
	// A camera that is away may come back, and a device may be plugged in; a file that is not there is a slip.
	if !strings.Contains(name, "://") && !strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "test") {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("open input: %w", err)
		}
	}
	return input.Open(media.InputOptions{Transcode: transcode})
}

// defaultState is below the person's configuration directory; empty where there is none.
func defaultState() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "peephole", "camera")
}
