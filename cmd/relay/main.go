// Command relay is the operator's server: signaling and TURN in one process. It carries what devices have sealed, and
// holds no key to open it; the code that could open anything is not even linked (test/archtest checks that).
//
//	relay serve     serve until SIGINT or SIGTERM, and then drain; SIGHUP reads its files again
//	relay doctor    examine a running relay, and say what to change
//	relay ticket    issue a ticket that admits a camera's mailboxes
//	relay regions   sign the operator's map of regions, or show one
//	relay version   print the version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/hangup"
	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
)

var help = cli.Help{
	Name: "relay",
	Text: `relay serve -listen :443 -turn :3478 -public-url https://relay.example \
  -tls-cert cert.pem -tls-key key.pem -state /var/lib/peephole

Carries sealed messages and packets between cameras and viewers, and can open
none of them. Without flags, relay serve serves this machine alone.

  relay serve [flags]    serve until Ctrl-C
  relay doctor [flags]   examine a running relay, and say what to change
  relay ticket [flags]   issue a ticket for one household's camera
  relay regions          sign or show the map of an operator's regions
  relay version          print version, commit and Go

Add -h to a command to list its flags.
`,
}

func main() {
	ctx, hangups, stop := hangup.NotifyContext()
	defer stop()
	stderr := terminal.New(os.Stderr)
	if err := run(ctx, hangups, os.Args[1:], terminal.New(os.Stdout), stderr); err != nil {
		fmt.Fprintln(printable.Writer(stderr), "relay:", redact.Text(err.Error()))
		stop()
		os.Exit(1)
	}
}

// run runs the command. Its error is the reason for exit code 1.
func run(ctx context.Context, hangups <-chan struct{}, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command; try: relay serve, or relay -h")
	}
	var err error
	switch args[0] {
	case "serve":
		err = serveCommand(ctx, hangups, args[1:], stdout, stderr)
	case "doctor":
		err = doctorCommand(ctx, args[1:], stdout)
	case "ticket":
		err = ticketCommand(args[1:], stdout)
	case "regions":
		err = regionsCommand(args[1:], stdout, stderr)
	case "version":
		err = help.PrintVersion(stdout)
	case "help":
		_, err = fmt.Fprint(stdout, help.Text)
	default:
		set := flag.NewFlagSet("relay", flag.ContinueOnError)
		if err = help.Parse(set, args, stdout); err == nil {
			return fmt.Errorf("unknown command %q; try: relay serve, or relay -h", args[0])
		}
	}

	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
