package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/signaling"
)

// admission determines who may open mailboxes.
type admission string

const (
	admitAll     admission = "open"
	admitTickets admission = "ticket"
)

// config holds the values of relay serve's flags.
type config struct {
	listen    string
	publicURL string
	metrics   string

	webTransport string

	tlsCert, tlsKey string
	tlsSelfSigned   bool

	trustedProxies string
	proxyHeader    string
	proxies        []netip.Prefix // trustedProxies, parsed by validate

	turn            string
	turnPublic      string
	turnTLS         string
	turnXDP         string
	turnMbit        int
	turnAllocations int
	turnSecret      string
	turnAlso        string
	drain           time.Duration
	drainTo         string
	p2p             string
	regions         string

	state             string
	nats              string
	natsServers       []string // those that nats names, parsed by validate
	natsSync          bool
	natsCreds         string
	natsCA            string
	admission         string
	memory            int // MiB
	node              string
	loopbackUnlimited bool

	log obs.LogFlags
}

// parseConfig reads the flags, and then the -config file for settings that they leave open.
func parseConfig(args []string, stdout io.Writer) (config, error) {
	var c config
	set, file := c.flags(serveHelp.Name)
	return c, c.parse(serveHelp, set, file, args, stdout)
}

func (c *config) parse(help cli.Help, set *flag.FlagSet, file *string, args []string, stdout io.Writer) error {
	if err := help.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see %s -h", set.Arg(0), help.Name)
	}

	if *file != "" {
		if err := readSettings(*file, set); err != nil {
			return fmt.Errorf("read config file %s: %w", *file, err)
		}
	}

	if c.regions != "" && !slices.Contains(given(set), "drain") {
		c.drain = regionDrain
	}
	return c.validate()
}

// regionDrain is how long a relay with -regions keeps TURN's clients, unless -drain says otherwise. They change to
// another region as soon as they lose signaling.
const regionDrain = 10 * time.Second

// given returns the names of the flags that were set so far, on the command line or in the settings file.
func given(set *flag.FlagSet) (names []string) {
	set.Visit(func(f *flag.Flag) { names = append(names, f.Name) })
	return names
}

// readSettings sets the settings that a file gives and the command line does not. It reads them in the order of their
// names, so that the first error is always the same.
func readSettings(path string, set *flag.FlagSet) error {
	text, err := signaling.ReadFile(path)
	if named := new(fs.PathError); errors.As(err, &named) {
		return named.Err // the caller names the path
	}
	if err != nil {
		return err
	}

	var settings map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&settings); err != nil {
		return fmt.Errorf("want a JSON object: %w", err)
	}
	if d.More() {
		return errors.New("want one JSON object, and nothing after it")
	}

	typed := given(set)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		f := set.Lookup(name)
		if f == nil || name == "config" || name == "version" {
			return fmt.Errorf("unknown setting %q; see relay serve -h", name)
		}
		switch settings[name].(type) {
		case string, bool:
		default:
			return fmt.Errorf("setting %q: want a string, true or false", name)
		}

		if slices.Contains(typed, name) {
			continue
		}
		if err := set.Set(name, fmt.Sprint(settings[name])); err != nil {
			return fmt.Errorf("setting %q: %w", name, err)
		}
	}

	return nil
}

// tls reports whether the relay serves TLS itself.
func (c *config) tls() bool { return c.tlsCert != "" || c.tlsSelfSigned }

// derivedURL returns the relay's URL for a listener at an address of this machine.
func (c *config) derivedURL(at net.Addr) string {
	host, _, _ := net.SplitHostPort(c.listen) // validated
	_, port, _ := net.SplitHostPort(at.String())
	return relay.DerivedURL(net.JoinHostPort(host, port), c.tls())
}
