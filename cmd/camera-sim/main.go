// Command camera-sim is the camera agent with a built-in H.264 source. It simulates one camera or many, each with a
// household of its own, and needs nothing but a relay. Each picture shows a number, and an SEI message says which
// camera it is from.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/peephole-cam/peephole/cmd/internal/agent"
	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/hangup"
	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
)

var help = cli.Help{
	Name: "camera-sim",
	Text: `camera-sim -n 2 -relay http://127.0.0.1:7880

Simulates cameras, each with a household of its own. Camera N is called sim-N
and shows the number N modulo 8; its pictures carry its fingerprint. For each
code it prints a link ("pair NAME URI") and three words ("words NAME WORDS").
`,
	Common: []string{"n", "name", "first", "relay", "relay-cert", "ticket", "state", "pair-window", "pair-more"},
}

const maxCameras = 10_000

func main() {
	ctx, hangups, stop := hangup.NotifyContext()
	stderr := terminal.New(os.Stderr)
	err := run(ctx, hangups, os.Args[1:], terminal.New(os.Stdout), stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}

	if err != nil {
		fmt.Fprintln(printable.Writer(stderr), "camera-sim:", redact.Text(err.Error()))
		os.Exit(1)
	}
}

func run(ctx context.Context, hangups <-chan struct{}, args []string, stdout, stderr io.Writer) error {
	var flags agent.Flags
	fs := flag.NewFlagSet("camera-sim", flag.ContinueOnError)
	flags.Register(fs, cli.DefaultState("camera-sim"), false)
	n := cli.Int(fs, "n", 1, 1, maxCameras, "simulate `N` cameras, 1 to 10000")
	prefix := fs.String("name", "sim", "the `prefix` of the cameras' names")
	first := cli.Int(fs, "first", 0, 0, 1_000_000, "number the cameras from `N` on, 0 to 1000000")
	if err := help.Parse(fs, args, stdout); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see camera-sim -h", fs.Arg(0))
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

	return a.Run(ctx, cameras, hangups, nil)
}
