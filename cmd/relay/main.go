// Command relay is the operator's server: signaling and TURN in one process. It carries what devices sealed and holds
// no key that opens it; the code that opens things is not even linked (internal/archtest says so).
//
//	relay serve     serve until SIGINT or SIGTERM, and then drain
//	relay doctor    examine a running relay, and say what to change
//	relay ticket    issue a ticket that admits a camera's mailboxes
//	relay version   print the version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

const usage = `Peephole's relay carries sealed messages and packets between cameras and viewers, and can open none of them.

  relay serve [flags]    serve until Ctrl-C
  relay doctor [flags]   examine a running relay, and say what to change
  relay ticket [flags]   issue a ticket for one household's camera (for relay serve -admission ticket)
  relay version          print the version

relay serve -h and relay ticket -h list the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the program, whatever it is at
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "relay: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// run is the command; nil is exit code 0.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return errors.New("no command; try: relay serve")
	}
	var err error
	switch args[0] {
	case "serve":
		err = serveCommand(ctx, args[1:], stdout, stderr)
	case "doctor":
		err = doctorCommand(ctx, args[1:], stdout, stderr)
	case "ticket":
		err = ticketCommand(args[1:], stdout, stderr)
	case "version", "-version", "--version":
		_, err = fmt.Fprintln(stdout, "relay", version())
	case "help", "-h", "-help", "--help":
		_, err = fmt.Fprint(stdout, usage)
	default:
		fmt.Fprint(stderr, usage)
		return fmt.Errorf("unknown command %q; try: relay serve", args[0])
	}
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return fmt.Sprintf("%s %s", v, info.GoVersion)
}
