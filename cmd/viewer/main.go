// Command viewer watches cameras from a terminal.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/peephole-cam/peephole/internal/obs"
	"github.com/peephole-cam/peephole/portmap"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/viewer"
)

const usage = `viewer: watch the cameras you are paired with

  viewer [flags] pair URI|-                 pair with the camera that shows this code; - reads it from standard input
  viewer [flags] list [-json]               the cameras you are paired with
  viewer [flags] watch NAME [-frames N] [-duration D] [-o FILE.h264|-] [-relay-only] [-json]
  viewer [flags] snapshot NAME -o FILE.jpg
  viewer [flags] doctor [-relay URL] [-json] [-addresses]
                                            test the way to the relay, and say what to change
  viewer [flags] forget NAME                end the pairing on this device

It exits with 0 only when what was asked for arrived whole.

flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "viewer:", err)
		os.Exit(1)
	}
}

// command is what every subcommand works with.
type command struct {
	viewer         *viewer.Viewer
	tls            *tls.Config     // whom relays are trusted by; nil: the system's roots
	ports          *portmap.Mapper // nil: no router is asked
	stdin          io.Reader
	stdout, stderr io.Writer
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("viewer", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	state := fs.String("state", defaultState(), "`directory` of keys and paired cameras; made with mode 0700")
	certificate := fs.String("relay-cert", "", "PEM `file` to trust for the relay instead of the system's roots (a self-signed relay)")
	noPortMap := fs.Bool("no-portmap", false, "never ask the router here to open a port, by PCP, NAT-PMP or UPnP; else one is open while you watch")
	var logFlags obs.LogFlags
	logFlags.Register(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	commands := map[string]func(*command, context.Context, []string) error{
		"pair": (*command).pair, "list": (*command).list, "watch": (*command).watch, "snapshot": (*command).snapshot, "forget": (*command).forget,
		"doctor": (*command).doctor,
	}
	do := commands[fs.Arg(0)]
	if do == nil {
		fs.Usage()
		return fmt.Errorf("unknown command %q", fs.Arg(0))
	}
	log, err := logFlags.Logger(stderr)
	if err != nil {
		return err
	}
	trust, err := signaling.TrustFile(*certificate)
	if err != nil {
		return err
	}
	if *state == "" {
		return errors.New("no home directory to keep keys in: say -state DIR, before the command")
	}
	cfg := viewer.Config{State: *state, TLS: trust, Logger: log}
	var ports *portmap.Mapper
	if !*noPortMap {
		ports = portmap.New(log)
		cfg.PortMapper = ports
	}
	v, err := viewer.Open(cfg)
	if v == nil {
		return err
	}
	if err != nil {
		log.Error("some cameras cannot be watched", "err", err)
	}
	return do(&command{v, trust, ports, stdin, stdout, stderr}, ctx, fs.Args()[1:])
}

// arguments parses a subcommand's flags, which may stand before or behind its one positional argument.
func (c *command) arguments(fs *flag.FlagSet, args []string, what string) (string, error) {
	fs.SetOutput(c.stderr)
	var positional []string
	for {
		if len(args) > 0 && c.isID(args[0]) { // an id may begin with a dash
			positional, args = append(positional, args[0]), args[1:]
			continue
		}
		if err := fs.Parse(args); err != nil {
			return "", err
		}
		if fs.NArg() == 0 {
			break
		}
		positional = append(positional, fs.Arg(0))
		args = fs.Args()[1:]
	}
	switch {
	case what == "" && len(positional) == 0:
		return "", nil
	case len(positional) == 1 && what != "":
		return positional[0], nil
	case what == "":
		return "", fmt.Errorf("%s takes no argument: see viewer -h", fs.Name())
	}
	return "", fmt.Errorf("%s takes one argument, %s: see viewer -h", fs.Name(), what)
}

// isID says whether an argument is a paired camera's id.
func (c *command) isID(argument string) bool {
	return c.viewer != nil && slices.ContainsFunc(c.viewer.Cameras(), func(p viewer.Camera) bool { return p.ID == argument })
}

func (c *command) pair(ctx context.Context, args []string) error {
	uri, err := c.arguments(flag.NewFlagSet("pair", flag.ContinueOnError), args, "URI")
	if err != nil {
		return err
	}
	if uri == "-" {
		text, err := io.ReadAll(io.LimitReader(c.stdin, 4096))
		if err != nil {
			return fmt.Errorf("read code from standard input: %w", err)
		}
		uri = strings.TrimSpace(string(text))
	}
	if words := strings.Fields(uri); len(words) > 1 { // the whole line that a camera prints: pair NAME URI
		uri = words[len(words)-1]
	}
	camera, err := c.viewer.Pair(ctx, uri)
	if err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	_, err = fmt.Fprintf(c.stdout, "paired %s with camera %s\n", session.Printable(camera.Name), camera.ID)
	return err
}

// told prints what a camera says about its picture.
func (c *command) told(s session.Status) {
	if s.Text == "" {
		s.Text = "the picture is back"
	}
	fmt.Fprintln(c.stderr, "camera:", session.Printable(s.Text))
}

func (c *command) forget(_ context.Context, args []string) error {
	name, err := c.arguments(flag.NewFlagSet("forget", flag.ContinueOnError), args, "NAME")
	if err != nil {
		return err
	}
	if err := c.viewer.Forget(name); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "forgot %s on this device\n", name)
	return nil
}

// defaultState is below the person's configuration directory; empty where there is none.
func defaultState() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "peephole", "viewer")
}
