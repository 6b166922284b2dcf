package main

import (
	"context"
	"errors"
	"flag"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/viewer"
)

var watchHelp = cli.Help{
	Name: "viewer watch",
	Text: `viewer watch "front door" -o film.h264 -duration 1m

Watches a camera (a NAME or ID from viewer list) until Ctrl-C. At the end it
prints how many frames came. They are saved only with -o.
`,
}

func (c *command) watch(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("watch", flag.ContinueOnError)
	frames := cli.Int(fs, "frames", 0, 0, 1e9, "stop after `N` frames; 0: never")
	duration := cli.Duration(fs, "duration", 0, 0, 8760*time.Hour,
		"stop after this `time`, such as 90s or 1h; 0: never")
	output := fs.String("o", "", "write the H.264 stream to this `file`; - is standard output")
	relayOnly := fs.Bool("relay-only", false,
		"hide your IP address from the camera's network: connect only through the relay's TURN server")
	asJSON := fs.Bool("json", false, "print one JSON object at the end")
	addresses := fs.Bool("explain-addresses", false,
		"include IP addresses, yours and the camera's, in the -json object: think before you share it")
	name, err := c.parse(watchHelp, fs, args, "NAME")
	if err != nil {
		return err
	}
	if *asJSON && *output == "-" {
		return errors.New("-json and -o - both write to standard output: write the stream to a file instead")
	}

	w := &watching{
		command:   c,
		output:    *output,
		frames:    *frames,
		report:    report{Camera: c.reportName(name)},
		quiet:     *asJSON,
		addresses: *addresses,
		rejected:  rejections{stderr: c.stderr},
	}
	err = w.run(ctx, name, *duration, *relayOnly)
	err = errors.Join(w.rejected.explain(err, w.report.Frames), w.close())

	w.report.Rejected, w.report.Live = w.rejected.n, w.last.Live()
	if *asJSON {
		err = errors.Join(err, w.report.write(c.stdout, err))
	}
	return err
}

// reportName returns what a report calls the camera that a person typed. Anything that names no camera is redacted,
// since it may be anything, even a secret.
func (c *command) reportName(typed string) string {
	named := func(camera viewer.Camera) bool { return camera.Name == typed || camera.ID == typed }
	if slices.ContainsFunc(c.viewer.Cameras(), named) {
		return typed
	}
	return redact.Text(typed)
}
