package relay

import (
	"cmp"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling/cluster"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/turn"
)

// Defaults of a Config.
const (
	DefaultListen      = "127.0.0.1:7880"
	DefaultTURN        = "127.0.0.1:3478"
	DefaultAllocations = 1 << 16
)

// MaxAlsoTURN is the maximum length of Config.AlsoTURN: clients accept no more URLs beyond the relay's own.
const MaxAlsoTURN = 4

// NoTURNTLS as Config.TURNTLS means that the relay does not offer TURN over TLS at all.
const NoTURNTLS = "off"

// NoWebTransport as Config.WebTransport means that the relay does not offer WebTransport at all.
const NoWebTransport = "off"

// ErrConfig is wrapped by the errors of New and Validate for a Config that cannot work.
var ErrConfig = errors.New("invalid relay configuration")

// Config says how a relay serves. The zero value serves only this machine, over plain HTTP, at the default ports.
type Config struct {
	// Listen is the HOST:PORT of signaling and the web page; "" means DefaultListen, and port 0 takes a free one.
	// Without a Certificate it must be a loopback address.
	Listen string

	// PublicURL is the URL that devices dial: scheme, host and port in lower case, without a path. "" derives it from
	// Listen, which must then name a host.
	PublicURL string

	// Certificate returns the certificate for a host. New calls it, and Reload calls it again. Nil serves plain HTTP.
	Certificate func(host string) (*tls.Certificate, error)
	// SelfSigned means that browsers do not trust the Certificate, so they must not be held to HTTPS.
	SelfSigned bool

	// WebTransport is the HOST:PORT, UDP, of signaling over HTTP/3, beside the WebSocket at Listen. Clients look for it
	// at the port of PublicURL. "" means Listen's own port if there is a Certificate and nothing else has it, and
	// NoWebTransport switches it off.
	WebTransport string

	TURN        string // HOST:PORT of TURN over UDP and TCP; "" means DefaultTURN, and port 0 takes free ones
	TURNPublic  string // HOST:PORT at which clients reach TURN; "" means TURN's own address, or PublicURL's host
	TURNTLS     string // HOST:PORT of TURN over TLS; "" shares Listen with HTTPS, NoTURNTLS switches it off
	XDP         string // network interface on which the kernel forwards relayed packets (Linux); "" means none
	Mbit        int    // maximum rate of relayed traffic, in Mbit/s with headers; 0 means no limit
	Allocations int    // maximum number of TURN allocations at one time; 0 means DefaultAllocations

	// Secret returns at least turn.MinSecret random bytes that several relays share, so that each accepts the
	// credentials of all. New calls it, Run calls it once an hour, and Reload calls it. Nil uses a fresh secret every
	// hour.
	Secret func() ([]byte, error)
	// AlsoTURN are TURN URLs (RFC 7065) of another relay with the same Secret, which this relay also offers to clients:
	// MaxAlsoTURN at most, each with its port and transport, as in turn:relay.example:3478?transport=udp.
	AlsoTURN []string

	// Regions returns the operator's signed map of regions (package region), which the relay serves to anybody. New
	// and Reload call it, and Run does once an hour. A map replaces the one in use only if the same operator signed it
	// later, and not with a date more than a day ahead. If nil, the relay serves no map.
	Regions func() ([]byte, error)

	// RegionKey returns the seed of this region's key (turn.RegionKeySize bytes), with which it shares the access to
	// TURN with the other regions of the map. It is called for a map that names a key for this region, and may be nil.
	RegionKey func() ([]byte, error)

	// P2P is the HOST:PORT, UDP, of a circuit relay (libp2p) through which viewers and cameras exchange sealed messages
	// while signaling is away; "" means none. P2PKey returns its key, by which devices know it.
	P2P    string
	P2PKey func() (ed25519.PrivateKey, error)

	Drain   time.Duration    // how long TURN keeps its clients after Run's context has ended
	DrainTo []netip.AddrPort // TURN servers to which it meanwhile redirects new clients

	TicketKey ed25519.PublicKey // mailboxes need a ticket signed by this key's owner; nil admits everyone
	Memory    int64             // maximum memory for signaling clients, in bytes; 0 means 1 GiB
	Node      string            // this relay's name in Stats; "" means PublicURL's host

	// Mail is the folder in which messages that wait in mailboxes are kept on disk, so that they survive the process;
	// "" keeps them in memory, as does a disk that is full or read-only at the start. Half of Memory bounds those on
	// disk. MailSync writes each of them through to the disk before it is acknowledged, to survive a power cut.
	Mail     string
	MailSync bool

	// NATS are the URLs of NATS servers that all relays of this region share: tls://HOST:PORT, or nats:// on this
	// machine. Messages that wait are kept there, instead of in Mail. NATSCredentials is a file with the credentials of
	// a NATS user, and NATSCA one with the certificates for tls://; "" means none, and the system's.
	NATS                    []string
	NATSCredentials, NATSCA string

	// TrustedProxies are the proxies in front of this relay. ProxyHeader is how they name their clients; "" means
	// XForwardedFor.
	TrustedProxies []netip.Prefix
	ProxyHeader    ProxyHeader

	// LoopbackUnlimited exempts clients on this machine from all limits by address. It is for tests and demos, and must
	// not be set behind a proxy on this machine.
	LoopbackUnlimited bool

	// Metrics is the HOST:PORT of a second listener for what Observe serves; "" means none.
	Metrics string
	// Observe adds the operator's handlers, such as /metrics, to a mux. The relay serves them at Metrics, and at Listen
	// too if that is a loopback address. Nil adds none.
	Observe func(*Relay, *http.ServeMux)

	OnReady func()       // called once Run serves; may be nil
	Logger  *slog.Logger // nil means no logging
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	c.TURN = cmp.Or(c.TURN, DefaultTURN)
	c.Allocations = cmp.Or(c.Allocations, DefaultAllocations)
	c.ProxyHeader = cmp.Or(c.ProxyHeader, XForwardedFor)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	return c
}

// Validate returns an error that wraps ErrConfig and names the first field that cannot work, or nil. New calls it.
func (c Config) Validate() error {
	if err := c.withDefaults().validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

func (c Config) validate() error {
	if err := c.validateAddresses(); err != nil {
		return err
	}

	host, _, _ := net.SplitHostPort(c.Listen) // validated
	switch {
	case c.Certificate == nil && !relayurl.IsLoopbackHost(host):
		return fmt.Errorf("field Listen %s: plain HTTP is served on a loopback address only; set Certificate", c.Listen)
	case c.PublicURL == "" && relayurl.IsUnspecifiedHost(host):
		return fmt.Errorf("field Listen %s names no host: set PublicURL", c.Listen)
	case c.Certificate == nil && c.TURNTLS != "" && c.TURNTLS != NoTURNTLS:
		return fmt.Errorf("field TURNTLS %s: TLS needs a Certificate", c.TURNTLS)
	case c.Certificate == nil && c.WebTransport != "" && c.WebTransport != NoWebTransport:
		return fmt.Errorf("field WebTransport %s: HTTP/3 needs a Certificate", c.WebTransport)
	case c.Allocations < 1 || c.Allocations > turn.MaxAddresses:
		return fmt.Errorf("field Allocations %d: want 1 to %d", c.Allocations, turn.MaxAddresses)
	case c.Mbit < 0:
		return fmt.Errorf("field Mbit %d: want 0 or more", c.Mbit)
	case c.Drain < 0:
		return fmt.Errorf("field Drain %v: want 0 or more", c.Drain)
	case c.Mail != "" && len(c.NATS) > 0:
		return errors.New("fields Mail and NATS: messages are kept in one place; set one")
	case c.Memory < 0:
		return fmt.Errorf("field Memory %d: want 0 or more", c.Memory)
	case c.Node != "" && server.CheckNode(c.Node) != nil:
		return server.CheckNode(c.Node)
	}

	for _, check := range []func() error{c.validateOtherTURN, c.validateProxies, c.validateNATS, c.validateURL} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// validateAddresses checks the form of each HOST:PORT.
func (c Config) validateAddresses() error {
	const free, given = 0, 1 // the lowest port: 0 takes any free one; clients need a given one
	for _, a := range []struct {
		field, value string
		off          string // the value that means none, besides ""
		minPort      int
	}{
		{"Listen", c.Listen, "", free},
		{"TURN", c.TURN, "", free},
		{"TURNPublic", c.TURNPublic, "", given},
		{"TURNTLS", c.TURNTLS, NoTURNTLS, free},
		{"WebTransport", c.WebTransport, NoWebTransport, free},
		{"Metrics", c.Metrics, "", free},
	} {
		if a.value == "" || a.value == a.off {
			continue
		}
		host, port, err := net.SplitHostPort(a.value)
		if err != nil || a.minPort == given && relayurl.IsUnspecifiedHost(host) {
			return fmt.Errorf("field %s %q: want HOST:PORT", a.field, a.value)
		}
		if n, err := net.LookupPort("tcp", port); err != nil || port == "" || n < a.minPort {
			return fmt.Errorf("field %s %q: want a port from %d to 65535", a.field, a.value, a.minPort)
		}
	}

	return nil
}

// validateOtherTURN checks AlsoTURN and DrainTo, where clients of this relay may go.
func (c Config) validateOtherTURN() error {
	switch {
	case len(c.AlsoTURN) > 0 && c.Secret == nil:
		return errors.New("field AlsoTURN: the other relay accepts only its own credentials; give both the same Secret")
	case len(c.AlsoTURN) > MaxAlsoTURN:
		return fmt.Errorf("field AlsoTURN: want %d URLs at most", MaxAlsoTURN)
	}

	for _, u := range c.AlsoTURN {
		if !relayurl.IsTURN(u) {
			return fmt.Errorf("field AlsoTURN %q: want turn:HOST:PORT?transport=udp, turn:HOST:PORT?transport=tcp or "+
				"turns:HOST:PORT?transport=tcp", u)
		}
	}
	for _, a := range c.DrainTo {
		if !a.IsValid() || a.Port() == 0 {
			return fmt.Errorf("field DrainTo %v: want an IP address and a port from 1 to 65535", a)
		}
	}

	return nil
}

func (c Config) validateNATS() error {
	if len(c.NATS) == 0 {
		return nil
	}
	if _, err := cluster.ParseURLs(strings.Join(c.NATS, ",")); err != nil {
		return fmt.Errorf("field NATS: %w", err)
	}
	return nil
}

func (c Config) validateProxies() error {
	switch c.ProxyHeader {
	case XForwardedFor, Forwarded, PROXYProtocol:
	default:
		return fmt.Errorf("ProxyHeader %q: want %s, %s or %s", c.ProxyHeader, XForwardedFor, Forwarded, PROXYProtocol)
	}

	for _, network := range c.TrustedProxies {
		if network.Bits() == 0 {
			return fmt.Errorf("TrustedProxies %s: that is everybody, and anybody could then claim any address", network)
		}
		local := network.Overlaps(loopback4) || network.Contains(netip.IPv6Loopback())
		if c.LoopbackUnlimited && local {
			return errors.New("LoopbackUnlimited: the clients of a trusted proxy on this machine must be limited")
		}
	}

	return nil
}

var loopback4 = netip.MustParsePrefix("127.0.0.0/8")

func (c Config) validateURL() error {
	if c.PublicURL == "" {
		return nil
	}
	if err := relayurl.Check(c.PublicURL); err != nil {
		return fmt.Errorf("PublicURL: %w", err)
	}

	switch {
	case c.Certificate != nil && !strings.HasPrefix(c.PublicURL, "https:"):
		return fmt.Errorf("PublicURL %s: want https://, since there is a Certificate", c.PublicURL)
	case c.LoopbackUnlimited && !relayurl.Loopback(c.PublicURL):
		return errors.New("LoopbackUnlimited: the clients of PublicURL come through a proxy on this machine, " +
			"and must be limited")
	}

	return nil
}

// sharesPort reports whether Listen serves TURN too. By default it does wherever clients reach it without a proxy in
// between.
func (c *Config) sharesPort(relayURL string) bool {
	return c.TURNTLS == "" && strings.HasPrefix(relayURL, "https://") == (c.Certificate != nil)
}

// hasTrustedTLS reports whether the relay has a certificate that browsers trust for a name of its own. A self-signed
// certificate is for development, and other programs use localhost too, so Strict-Transport-Security would bind servers
// other than the relay.
func (c *Config) hasTrustedTLS(relayURL string) bool {
	return c.Certificate != nil && !c.SelfSigned && !relayurl.IsLoopbackHost(hostname(relayURL))
}

// DerivedURL returns the relay URL of a listener at HOST:PORT if no PublicURL is set.
func DerivedURL(hostPort string, secure bool) string {
	scheme, standard := "http", "80"
	if secure {
		scheme, standard = "https", "443"
	}
	host, port, _ := net.SplitHostPort(strings.ToLower(hostPort)) // validated
	if port != standard {
		return scheme + "://" + net.JoinHostPort(host, port)
	}

	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}

// hostname returns the host of a validated URL.
func hostname(relayURL string) string {
	u, err := url.Parse(relayURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// hostport returns the host and port of a validated URL.
func hostport(relayURL, standard string) string {
	u, err := url.Parse(relayURL)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), standard))
}
