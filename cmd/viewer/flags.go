package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/nat/portmap"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/viewer"
)

// flags are the flags that all commands share. They may stand on either side of the command's name; the last one wins.
type flags struct {
	state     string
	relayCert string
	noPortMap bool
	lan       bool
	log       obs.LogFlags
}

// register adds the flags to fs. A flag that has been set already keeps its value.
func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.state, "state", f.state, "`directory` of keys and paired cameras; made with mode 0700")
	fs.StringVar(&f.relayCert, "relay-cert", f.relayCert,
		"PEM `file` to trust for the relay; instead of the system's roots, for a self-signed relay")
	fs.BoolVar(&f.noPortMap, "no-portmap", f.noPortMap,
		"never ask your router to open a port; without this flag one is open while you watch, by PCP, NAT-PMP or UPnP")
	fs.BoolVar(&f.lan, "lan", f.lan,
		"look for your cameras on your own network too, which works without the relay and the internet")
	f.log.Register(fs)
}

// parse parses a command's own flags and the shared ones, which may stand before or after its one positional argument,
// and then opens the viewer. Asking for help, or a mistake in the command line, creates no keys.
//
// what names the positional argument; a command for which it is empty takes none.
func (c *command) parse(help cli.Help, fs *flag.FlagSet, args []string, what string) (argument string, err error) {
	positional, err := c.parseFlags(help, fs, args)
	switch {
	case err != nil:
		return "", err
	case what == "" && len(positional) > 0:
		return "", fmt.Errorf("%s takes no argument: see %s -h", fs.Name(), help.Name)
	case what != "" && len(positional) != 1:
		return "", fmt.Errorf("%s takes one argument, %s: see %s -h", fs.Name(), what, help.Name)
	case what != "":
		argument = positional[0]
	}
	return argument, c.open()
}

// parseFlags parses a command's own flags and the shared ones, and returns its positional arguments.
func (c *command) parseFlags(help cli.Help, fs *flag.FlagSet, args []string) (positional []string, err error) {
	shared := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags.register(shared)
	shared.VisitAll(func(f *flag.Flag) { fs.Var(f.Value, f.Name, "") }) // without usage: viewer -h lists them
	help.Text += "The flags that viewer -h lists work here too.\n"

	for {
		if err := help.Parse(fs, args, c.stdout); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return positional, nil
		}
		positional = append(positional, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// open does what the shared flags ask for, and opens the viewer.
func (c *command) open() (err error) {
	c.log = c.flags.log.Logger(c.stderr)
	if c.tls, err = signaling.TrustFile(c.flags.relayCert); err != nil {
		return err
	}
	if c.flags.state == "" {
		return errors.New("no home directory to keep keys in: say -state DIR")
	}

	cfg := viewer.Config{State: c.flags.state, TLS: c.tls, LAN: c.flags.lan, Logger: c.log}
	if !c.flags.noPortMap {
		c.ports = portmap.New(c.log)
		cfg.PortMapper = c.ports
	}
	c.viewer, err = viewer.Open(cfg)
	return err
}
