package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/internal/obs"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/turn"
)

// admission is who may open mailboxes.
type admission string

const (
	admitAll     admission = "open"
	admitTickets admission = "ticket"
)

// config is what relay serve needs.
type config struct {
	listen, turn, turnPublic string
	turnTLS                  string
	turnMbit                 uint
	turnAllocations          int
	turnXDP                  string
	turnSecret, turnAlso     string
	drain                    time.Duration
	drainTo                  string
	state                    string
	publicURL                string
	tlsCert, tlsKey          string
	tlsSelfSigned            bool
	admission                string
	node                     string
	metrics                  string
	logFormat                obs.Format
	logLevel                 slog.Level
}

const serveUsage = `relay serve [flags]

Serves signaling, the web page and TURN until Ctrl-C, and prints "ready URL" once it does. With no flags it serves this
machine alone, at http://127.0.0.1:7880. For the world, give it a name and a certificate:

  relay serve -listen :443 -turn :3478 -public-url https://relay.example -tls-cert cert.pem -tls-key key.pem

TURN over TLS shares the HTTPS port, so that a network which lets out nothing else has a picture too. Or leave the
certificate to a proxy on this machine (no TURN over TLS then, and all clients have its address, so limits for each do not hold):

  relay serve -public-url https://relay.example -turn :3478

Every flag can stand in the -config file, a JSON object such as {"listen": ":443", "tls-self-signed": true}; a flag
given here beats the file. Flags:
`

// flags names every setting once, for the command line and the file.
func (c *config) flags(stderr io.Writer) (set *flag.FlagSet, file *string) {
	set = flag.NewFlagSet("relay serve", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { fmt.Fprint(stderr, serveUsage); set.PrintDefaults() }
	c.logFormat, c.logLevel = obs.Text, slog.LevelInfo
	file = set.String("config", "", "read settings from this JSON `file`")
	set.StringVar(&c.listen, "listen", "127.0.0.1:7880", "`address` of signaling and the web page; port 0 takes a free one. Without TLS, loopback only")
	set.StringVar(&c.turn, "turn", "127.0.0.1:3478", "`address` of TURN, UDP and TCP; port 0 takes free ones")
	set.StringVar(&c.turnPublic, "turn-public", "", "`host:port` at which clients reach TURN (default: the -turn address, or the public URL's host)")
	set.StringVar(&c.turnTLS, "turn-tls", "", "`address` of TURN over TLS, for networks that let out nothing else (default: the -listen port, beside HTTPS); off: none")
	set.StringVar(&c.turnXDP, "turn-xdp", "", "`interface`, such as eth0, where the kernel itself forwards what TURN relays between UDP clients (Linux; root, or CAP_NET_ADMIN and CAP_BPF)")
	set.UintVar(&c.turnMbit, "turn-mbit", 0, "most that TURN relays, in Mbit/s, 52 bytes a packet for headers among them; what goes beyond is dropped and counted. 0: no limit")
	set.IntVar(&c.turnAllocations, "turn-allocations", 1<<16, "most `allocations` of TURN at one time; each takes about 7 kB of memory")
	set.StringVar(&c.turnSecret, "turn-secret", "", "`file` of 32 or more random bytes that all your relays have, read again every hour; who has it can use them all. Default: a secret of this process alone")
	set.StringVar(&c.turnAlso, "turn-also", "", "TURN `URLs`, with commas, of another relay that has the same -turn-secret: a session keeps a place on both, and goes on by one when the other is lost")
	set.DurationVar(&c.drain, "drain", 0, "how long TURN keeps its clients after SIGTERM, while signaling and new clients go elsewhere and the -listen port is free; 0: not at all")
	set.StringVar(&c.drainTo, "drain-to", "", "`IP:PORT`s, with commas, of TURN where new clients are sent meanwhile")
	set.StringVar(&c.state, "state", "relay-state", "`folder` for what must survive a restart: the operator's key, the self-signed certificate")
	set.StringVar(&c.publicURL, "public-url", "", "the `URL` that devices use: scheme, host and port, no path (default: made from -listen)")
	set.StringVar(&c.tlsCert, "tls-cert", "", "certificate chain, a PEM `file`")
	set.StringVar(&c.tlsKey, "tls-key", "", "its private key, a PEM `file`")
	set.BoolVar(&c.tlsSelfSigned, "tls-self-signed", false, "make a certificate of our own, for development; prints its fingerprint")
	set.StringVar(&c.admission, "admission", string(admitAll), "who may open mailboxes: `open` (everybody, a quota for each address) or ticket (see relay ticket)")
	set.StringVar(&c.node, "node", "", "`name` of this relay in its metrics, to tell your relays apart; names nobody else (default: the public URL's host)")
	set.StringVar(&c.metrics, "metrics", "", "second `address` for /metrics, /healthz and /readyz; on the main one they are served to loopback listeners only")
	set.Var(&c.logFormat, "log-format", "`text` or json")
	set.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	return set, file
}

// parseConfig reads the flags, then the file for what they leave open.
func parseConfig(args []string, stderr io.Writer) (config, error) {
	var c config
	set, file := c.flags(stderr)
	return c, c.parse(set, file, args)
}

func (c *config) parse(set *flag.FlagSet, file *string, args []string) error {
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see relay serve -h", set.Arg(0))
	}
	if *file != "" {
		if err := readFile(*file, set); err != nil {
			return fmt.Errorf("read config file %s: %w", *file, err)
		}
	}
	return c.validate()
}

func readFile(path string, set *flag.FlagSet) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return errors.Unwrap(err) // the path is named already
	}
	var settings map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&settings); err != nil {
		return fmt.Errorf("want a JSON object: %w", err)
	}
	if d.More() {
		return errors.New("want one JSON object, and nothing after it")
	}
	var given []string
	set.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	for name, value := range settings {
		f := set.Lookup(name)
		if f == nil || name == "config" {
			return fmt.Errorf("unknown setting %q; see relay serve -h", name)
		}
		switch value.(type) {
		case string, bool:
		default:
			return fmt.Errorf("setting %q: want a string, true or false", name)
		}
		if slices.Contains(given, name) {
			continue
		}
		if err := set.Set(name, fmt.Sprint(value)); err != nil {
			return fmt.Errorf("setting %q: %w", name, err)
		}
	}
	return nil
}

// noTURNTLS is -turn-tls for: none.
const noTURNTLS = "off"

// shares says whether the main port serves TURN too: unless told otherwise, wherever clients reach it without a proxy in between.
func (c *config) shares(relayURL string) bool {
	return c.turnTLS == "" && strings.HasPrefix(relayURL, "https://") == c.tls()
}

func (c *config) tls() bool { return c.tlsCert != "" || c.tlsSelfSigned }

// validate returns what to do about the first setting that cannot work.
func (c *config) validate() error {
	for name, addr := range map[string]string{"listen": c.listen, "turn": c.turn, "metrics": c.metrics, "turn-public": c.turnPublic, "turn-tls": c.turnTLS} {
		if optional := name != "listen" && name != "turn"; optional && addr == "" || name == "turn-tls" && addr == noTURNTLS {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("-%s %q: want HOST:PORT, such as 127.0.0.1:7880 or :443", name, addr)
		}
	}
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key go together: give both")
	case c.tlsCert != "" && c.tlsSelfSigned:
		return errors.New("-tls-cert and -tls-self-signed exclude each other: give one")
	case c.admission != string(admitAll) && c.admission != string(admitTickets):
		return fmt.Errorf("-admission %q: want open or ticket", c.admission)
	case !c.tls() && !loopback(c.listen):
		return fmt.Errorf("-listen %s without TLS: plain HTTP is served to this machine only; give -tls-cert and -tls-key, or -tls-self-signed for development, or listen on 127.0.0.1", c.listen)
	case !c.tls() && c.turnTLS != "" && c.turnTLS != noTURNTLS:
		return fmt.Errorf("-turn-tls %s without a certificate: give -tls-cert and -tls-key, or -tls-self-signed for development", c.turnTLS)
	case c.node != "" && server.CheckNode(c.node) != nil:
		return fmt.Errorf("-%w", server.CheckNode(c.node))
	case c.drain < 0 || c.drain > 24*time.Hour:
		return fmt.Errorf("-drain %v: want 0 to 24h", c.drain)
	case c.drainTo != "" && c.drain == 0:
		return errors.New("-drain-to sends clients elsewhere while this relay drains: say with -drain how long that is")
	case c.state == "":
		return errors.New("-state: want a folder")
	case c.turnMbit > 1e7:
		return fmt.Errorf("-turn-mbit %d: want 0 to 10000000", c.turnMbit)
	case c.turnAllocations < 1 || c.turnAllocations > turn.MaxAddresses:
		return fmt.Errorf("-turn-allocations %d: want 1 to %d", c.turnAllocations, turn.MaxAddresses)
	}
	if _, err := c.alternates(); err != nil {
		return err
	}
	if _, err := c.also(); err != nil {
		return err
	}
	if c.publicURL != "" {
		return c.validateURL()
	}
	if host, _, _ := net.SplitHostPort(c.listen); unspecified(host) {
		return fmt.Errorf("-listen %s names no host: say how devices reach this relay with -public-url https://HOST[:PORT]", c.listen)
	}
	return nil
}

// alternates are the addresses of -drain-to.
func (c *config) alternates() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, word := range strings.FieldsFunc(c.drainTo, func(r rune) bool { return r == ',' }) {
		a, err := netip.ParseAddrPort(word)
		if err != nil || a.Port() == 0 {
			return nil, fmt.Errorf("-drain-to %q: want IP:PORT, such as 192.0.2.1:3478 or [2001:db8::1]:3478", word)
		}
		all = append(all, a)
	}
	return all, nil
}

// also are the URLs (RFC 7065) of -turn-also.
func (c *config) also() ([]string, error) {
	urls := strings.FieldsFunc(c.turnAlso, func(r rune) bool { return r == ',' })
	if len(urls) > 0 && c.turnSecret == "" {
		return nil, errors.New("-turn-also: the other relay knows only credentials of its own; give both the same -turn-secret")
	}
	if len(urls) > maxAlso {
		return nil, fmt.Errorf("-turn-also: want %d URLs at most", maxAlso)
	}
	for _, u := range urls {
		scheme, rest, _ := strings.Cut(u, ":")
		address, query, _ := strings.Cut(rest, "?")
		host, port, err := net.SplitHostPort(address)
		number, err2 := strconv.ParseUint(port, 10, 16)
		tls, tcp := scheme == "turns", query == "transport=tcp"
		if err != nil || err2 != nil || host == "" || number == 0 || !tls && scheme != "turn" || !tcp && (tls || query != "transport=udp") {
			return nil, fmt.Errorf("-turn-also %q: want turn:HOST:PORT?transport=udp, turn:HOST:PORT?transport=tcp or turns:HOST:PORT?transport=tcp", u)
		}
	}
	return urls, nil
}

// maxAlso is how many more URLs a client takes than a relay has itself.
const maxAlso = 4

func (c *config) validateURL() error {
	u, err := url.Parse(c.publicURL)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || c.publicURL != strings.ToLower(c.publicURL) {
		return fmt.Errorf("-public-url %q: want https://HOST or https://HOST:PORT, lower case, with no path and no slash at its end", obs.Redact(c.publicURL))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(net.JoinHostPort(u.Hostname(), "0"))) {
		return fmt.Errorf("-public-url %s: want https:// (http:// only for a relay on this machine)", c.publicURL)
	}
	if c.tls() && u.Scheme != "https" {
		return fmt.Errorf("-public-url %s: want https://, for this relay serves TLS", c.publicURL)
	}
	return nil
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// loopback says whether an address is this machine's own and no other's.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// hostname is the host of a URL that was validated.
func hostname(relayURL string) string {
	u, err := url.Parse(relayURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// hostport is the host and port of a URL that was validated.
func hostport(relayURL, standard string) string {
	u, err := url.Parse(relayURL)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), standard))
}

// bracketed is a host as a URL without a port spells it.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
