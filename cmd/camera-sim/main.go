// Command camera-sim is the camera agent with a built-in H.264 source: one simulated camera, or many, each of a household
// of its own. It needs nothing but a relay. Each picture shows a number, and says in an SEI message whose it is.
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
	"syscall"

	"github.com/peephole-cam/peephole/internal/agent"
	"github.com/peephole-cam/peephole/media"
)

const usage = `camera-sim: simulated cameras, each of a household of its own

  camera-sim [flags] -relay URL

Camera N is named sim-N, shows the number N modulo 8, and carries its fingerprint in an SEI message.
Prints "pair NAME URI" for each pairing code of a camera without an owner.

`

const maxCameras = 10_000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "camera-sim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var flags agent.Flags
	fs := flag.NewFlagSet("camera-sim", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	flags.Register(fs, defaultState())
	n := fs.Int("n", 1, "number of cameras, at most 10000")
	prefix := fs.String("name", "sim", "what the cameras' names begin with")
	first := fs.Int("first", 0, "number of the first camera")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see camera-sim -h", fs.Arg(0))
	}
	if *n < 1 || *n > maxCameras || *first < 0 {
		return fmt.Errorf("read -n %d: want 1 to %d", *n, maxCameras)
	}
	clips, err := media.Clips()
	if err != nil {
		return err
	}
	a, err := agent.New(flags, stdout, stderr)
	if err != nil {
		return err
	}
	cameras := make([]agent.Camera, *n)
	for i := range cameras {
		name := fmt.Sprintf("%s-%d", *prefix, *first+i)
		clip := clips[(*first+i)%len(clips)]
		cameras[i] = agent.Camera{Name: name, State: filepath.Join(flags.State, name), Source: clip.Source}
	}
	return a.Run(ctx, cameras)
}

// defaultState is below the person's configuration directory; empty where there is none.
func defaultState() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "peephole", "camera-sim")
}
