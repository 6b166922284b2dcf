// Command viewer watches cameras from a terminal.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/hangup"
	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/nat/portmap"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

var help = cli.Help{
	Name: "viewer",
	Text: `viewer watch "front door" -o film.h264 -duration 1m

Watches the cameras you have paired with. It exits with 0 only if everything you
asked for arrived.

  viewer pair URI|-                 pair with the camera that shows this code
  viewer list                       list your cameras
  viewer watch NAME                 watch a camera; -o FILE saves the stream
  viewer snapshot NAME -o FILE.jpg  take one picture
  viewer get NAME [ID] -o FILE      get its log or a film; without ID: list them
  viewer doctor                     test the connection to the relay
  viewer forget NAME                remove a camera from this device

Each command has its own -h. These flags go before or after the command:
`,
	Common: []string{"state", "relay-cert", "lan", "no-portmap", "log-level", "version"},
}

func main() {
	ctx, _, stop := hangup.NotifyContext() // the viewer has no files to reload
	stderr := terminal.New(os.Stderr)
	err := run(ctx, os.Args[1:], os.Stdin, terminal.New(os.Stdout), stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(printable.Writer(stderr), "viewer:", redact.Text(err.Error()))
		os.Exit(1)
	}
}

// command is what every subcommand works with.
type command struct {
	flags          flags
	stdin          io.Reader
	stdout, stderr io.Writer        // text from elsewhere can do nothing to the terminal behind stderr
	screen         *terminal.Output // the same terminal, for our own text; nil unless a line can be cleared there

	// parse sets these once the command line has proved valid.
	log    *slog.Logger
	tls    *tls.Config     // which relays to trust; nil: those that the system's roots vouch for
	ports  *portmap.Mapper // nil: ask no router
	viewer *viewer.Viewer
}

var commands = map[string]func(*command, context.Context, []string) error{
	"doctor":   (*command).doctor,
	"forget":   (*command).forget,
	"get":      (*command).get,
	"list":     (*command).list,
	"pair":     (*command).pair,
	"snapshot": (*command).snapshot,
	"watch":    (*command).watch,
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	c := &command{
		flags:  flags{state: cli.DefaultState("viewer"), lan: true},
		stdin:  stdin,
		stdout: stdout,
		stderr: printable.Writer(stderr),
	}
	if o, ok := stderr.(*terminal.Output); ok && o.IsTerminal() && o.HasColours() {
		c.screen = o
	}
	fs := flag.NewFlagSet("viewer", flag.ContinueOnError)
	c.flags.register(fs)
	if err := help.Parse(fs, args, stdout); err != nil {
		return err
	}

	do := commands[fs.Arg(0)]
	switch {
	case fs.NArg() == 0:
		return errors.New("no command: see viewer -h")
	case do == nil:
		return fmt.Errorf("unknown command %q: see viewer -h", fs.Arg(0))
	}
	return do(c, ctx, fs.Args()[1:])
}

// printStatus prints what a camera says about its picture.
func (c *command) printStatus(s session.Status) {
	if s.Text == "" {
		s.Text = "the picture is back"
	}
	fmt.Fprintln(c.stderr, "camera:", printable.Text(s.Text))
}
