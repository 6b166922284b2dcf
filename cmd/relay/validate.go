package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling/cluster"
	"github.com/peephole-cam/peephole/signaling/server"
)

// validate returns an error for the first setting that cannot work, which says what to do. The order is always the
// same.
func (c *config) validate() error {
	for _, check := range []func() error{
		c.validateAddresses,
		c.validateTLS,
		c.validatePolicy,
		c.validateProxies,
		c.validateLists,
		c.validatePublicURL,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) validateAddresses() error {
	const free, given = 0, 1 // the lowest port: 0 takes any free one; clients need a given one
	for _, a := range []struct {
		flag, value string
		optional    bool
		off         string // the value that means none, if there is one
		minPort     int
	}{
		{"listen", c.listen, false, "", free},
		{"turn", c.turn, false, "", free},
		{"turn-public", c.turnPublic, true, "", given},
		{"turn-tls", c.turnTLS, true, relay.NoTURNTLS, free},
		{"webtransport", c.webTransport, true, relay.NoWebTransport, free},
		{"metrics", c.metrics, true, "", free},
		{"p2p", c.p2p, true, "", free},
	} {
		if a.value == "" && a.optional || a.value != "" && a.value == a.off {
			continue
		}
		_, port, err := net.SplitHostPort(a.value)
		if err != nil {
			return fmt.Errorf("-%s %q: want HOST:PORT, such as 127.0.0.1:7880 or :443", a.flag, a.value)
		}
		if n, err := net.LookupPort("tcp", port); err != nil || port == "" || n < a.minPort {
			return fmt.Errorf("-%s %q: want a port from %d to 65535", a.flag, a.value, a.minPort)
		}
	}
	return nil
}

func (c *config) validateTLS() error {
	host, _, _ := net.SplitHostPort(c.listen) // validated
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key go together: give both")
	case c.tlsCert != "" && c.tlsSelfSigned:
		return errors.New("-tls-cert and -tls-self-signed exclude each other: give one")
	case !c.tls() && !relayurl.IsLoopbackHost(host):
		return fmt.Errorf("-listen %s without TLS: plain HTTP is served to this machine only; "+
			"give -tls-cert and -tls-key, or -tls-self-signed for development, or listen on 127.0.0.1", c.listen)
	case !c.tls() && c.turnTLS != "" && c.turnTLS != relay.NoTURNTLS:
		return withoutCertificate("turn-tls", c.turnTLS)
	case !c.tls() && c.webTransport != "" && c.webTransport != relay.NoWebTransport:
		return withoutCertificate("webtransport", c.webTransport)
	}
	return nil
}

func withoutCertificate(flag, value string) error {
	return fmt.Errorf("-%s %s without a certificate: "+
		"give -tls-cert and -tls-key, or -tls-self-signed for development", flag, value)
}

func (c *config) validatePolicy() error {
	switch {
	case c.admission != string(admitAll) && c.admission != string(admitTickets):
		return fmt.Errorf("-admission %q: want open or ticket", c.admission)
	case c.node != "" && server.CheckNode(c.node) != nil:
		return fmt.Errorf("-%w", server.CheckNode(c.node))
	case c.drainTo != "" && c.drain == 0:
		return errors.New("-drain-to redirects clients while this relay drains: say with -drain for how long")
	case c.state == "":
		return errors.New("-state: want a folder")
	}
	return c.validateNATS()
}

// validateNATS parses -nats.
func (c *config) validateNATS() (err error) {
	switch {
	case c.natsSync && c.nats != natsEmbedded:
		return errors.New("-nats-sync needs -nats embedded; the servers of a cluster have their own sync_interval")
	case c.nats != natsEmbedded && c.nats != natsOff:
		if c.natsServers, err = cluster.ParseURLs(c.nats); err != nil {
			return fmt.Errorf("-nats: want embedded, off or the URLs of servers: %w", err)
		}
		return nil
	case c.natsCreds != "" || c.natsCA != "":
		return errors.New("-nats-creds and -nats-ca need the servers of a cluster: name them with -nats")
	}
	return nil
}

var loopback4 = netip.MustParsePrefix("127.0.0.0/8")

// validateProxies parses -trusted-proxies.
func (c *config) validateProxies() (err error) {
	if c.proxies, err = parseProxies(c.trustedProxies, c.proxyHeader); err != nil {
		return err
	}
	if !c.loopbackUnlimited {
		return nil
	}

	for _, network := range c.proxies {
		if network.Overlaps(loopback4) || network.Contains(netip.IPv6Loopback()) {
			return errors.New("-loopback-unlimited: the clients of a proxy on this machine must be limited; " +
				"leave it out, or the proxy out of -trusted-proxies")
		}
	}
	if c.publicURL != "" && !relayurl.Loopback(c.publicURL) {
		return fmt.Errorf("-loopback-unlimited: clients of -public-url %s come through a proxy on this machine, "+
			"and must be limited; leave it out", c.publicURL)
	}
	return nil
}

// validateLists validates -drain-to and -turn-also.
func (c *config) validateLists() error {
	if _, err := c.drainAddresses(); err != nil {
		return err
	}
	_, err := c.alsoTURN()
	return err
}

// drainAddresses returns the addresses of -drain-to.
func (c *config) drainAddresses() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, text := range splitList(c.drainTo) {
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Port() == 0 {
			return nil, fmt.Errorf("-drain-to %q: want IP:PORT, such as 192.0.2.1:3478 or [2001:db8::1]:3478", text)
		}
		all = append(all, a)
	}
	return all, nil
}

// alsoTURN returns the URLs (RFC 7065) of -turn-also.
func (c *config) alsoTURN() ([]string, error) {
	urls := splitList(c.turnAlso)
	if len(urls) > 0 && c.turnSecret == "" {
		return nil, errors.New("-turn-also: the other relay accepts only its own credentials; " +
			"give both the same -turn-secret")
	}
	if len(urls) > relay.MaxAlsoTURN {
		return nil, fmt.Errorf("-turn-also: want %d URLs at most", relay.MaxAlsoTURN)
	}
	for _, u := range urls {
		if !relayurl.IsTURN(u) {
			return nil, fmt.Errorf("-turn-also %q: want turn:HOST:PORT?transport=udp, "+
				"turn:HOST:PORT?transport=tcp or turns:HOST:PORT?transport=tcp", u)
		}
	}
	return urls, nil
}

// validatePublicURL validates -public-url, which may be left out only if -listen names a host.
func (c *config) validatePublicURL() error {
	if c.publicURL == "" {
		if host, _, _ := net.SplitHostPort(c.listen); relayurl.IsUnspecifiedHost(host) {
			return fmt.Errorf("-listen %s names no host: "+
				"say how devices reach this relay with -public-url https://HOST[:PORT]", c.listen)
		}
		return nil
	}

	if err := relayurl.Check(c.publicURL); err != nil {
		return fmt.Errorf("-public-url %q: %w", redact.Text(c.publicURL), err)
	}
	if c.tls() && !strings.HasPrefix(c.publicURL, "https:") {
		return fmt.Errorf("-public-url %s: want https://, for this relay serves TLS", c.publicURL)
	}
	return nil
}

// splitList splits a flag's value at its commas.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}
