// Command camera is the agent beside a real camera. It reads an RTSP camera, a file, a V4L2 device or a test pattern,
// connects outbound to its relay, and serves the viewers it is paired with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/peephole-cam/peephole/cmd/internal/agent"
	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/hangup"
	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
)

var help = cli.Help{
	Name: "camera",
	Text: `camera -name "front door" -relay https://relay.example -input - < FILE

Sends a camera's video, encrypted end to end, to the viewers it is paired with.
It prints a link, three words and a QR code to pair with. Keep the camera's URL,
rtsp://USER:PASSWORD@192.0.2.10/stream, in a FILE: it contains the password.
`,
	Common: []string{"input", "input-low", "name", "relay", "relay-cert", "relay-only", "ticket", "state", "pair-more",
		"lan", "transcode"},
}

func main() {
	ctx, hangups, stop := hangup.NotifyContext()
	stderr := terminal.New(os.Stderr)
	err := run(ctx, hangups, os.Args[1:], terminal.New(os.Stdout), stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}

	if err != nil {
		fmt.Fprintln(printable.Writer(stderr), "camera:", redact.Text(err.Error()))
		os.Exit(1)
	}
}

func run(ctx context.Context, hangups <-chan struct{}, args []string, stdout, stderr io.Writer) error {
	var flags agent.Flags
	fs := flag.NewFlagSet("camera", flag.ContinueOnError)
	flags.Register(fs, cli.DefaultState("camera"), true)
	name := fs.String("name", "camera", "the `name` that viewers see; it travels encrypted")
	input := fs.String("input", "",
		"the `INPUT`: rtsp://…, http://…, a file, /dev/videoN, or test; - reads it from standard input: "+
			"the next line that is not empty and not a # comment")
	low := fs.String("input-low", "",
		"second `INPUT` with the same picture at a lower rate; such as an IP camera's substream, "+
			"for viewers whose network is too slow for the other")
	transcode := fs.Bool("transcode", false,
		"encode the video again; for inputs with B-frames, or a codec that browsers do not play")
	if err := help.Parse(fs, args, stdout); err != nil {
		return err
	}

	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see camera -h", fs.Arg(0))
	}
	a, err := agent.New(flags, stdout, stderr)
	if err != nil {
		return err
	}

	names := []string{*input}
	if *low != "" {
		names = append(names, *low)
	}
	opener := media.Opener{Transcode: *transcode, Log: a.Log}
	in, err := openInputs(ctx, names, os.Stdin, newPerson(os.Stdin, stderr), opener)
	if err != nil {
		return err
	}

	c := agent.Camera{Name: *name, State: flags.State, Source: func(string) media.Source { return in.switches[0] }}
	if *low != "" {
		c.Low = in.switches[1]
	}
	return a.Run(ctx, []agent.Camera{c}, hangups, func() error { return in.reload(ctx) })
}

func openInput(ctx context.Context, opener media.Opener, name string) (media.Source, error) {
	if name == "" {
		return nil, errors.New("no input given: say -input rtsp://…, a file, /dev/videoN, or test")
	}
	return opener.Open(ctx, name)
}
