package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// Relay is a relay to test.
type Relay struct {
	URL   string
	Trust *tls.Config   // nil: the system's roots
	Idle  time.Duration // how long to leave the signaling connection idle, to find a proxy that cuts it
}

// roots returns the certificates that are trusted for the relay; nil: the system's.
func (r Relay) roots() *x509.CertPool {
	if r.Trust == nil {
		return nil
	}
	return r.Trust.RootCAs
}

const (
	contactTimeout = 10 * time.Second
	maxAnswer      = 16 << 10 // bytes
)

// contact is what a relay said over HTTPS.
type contact struct {
	Relay
	name    string // for findings
	err     error  // why there was no answer
	status  int    // of HTTP
	state   *tls.ConnectionState
	offset  time.Duration // the relay's clock minus this machine's
	dated   bool          // offset is known
	servers []server
	says    bool // the relay named the servers; otherwise they are the usual ones
}

// contact asks a relay for its servers.
func (r Relay) contact(ctx context.Context, name string) *contact {
	c := &contact{Relay: r, name: name, servers: usualServers(r.URL)}
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+signaling.ServersPath, nil)
	if err != nil {
		c.err = err
		return c
	}

	// The handshake accepts any certificate, so that a bad one, or a wrong clock, can be told from no answer.
	// checkCertificate judges the certificate, and nothing that came under a bad one is believed.
	trust := r.Trust.Clone()
	if trust == nil {
		trust = new(tls.Config)
	}
	trust.InsecureSkipVerify = true
	transport := &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}

	start := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		c.err = err
		return c
	}
	defer answer.Body.Close()
	c.readAnswer(answer, start, time.Now())
	return c
}

// readAnswer reads what a relay says from its answer to a request that ran from start to end.
func (c *contact) readAnswer(answer *http.Response, start, end time.Time) {
	c.status, c.state = answer.StatusCode, answer.TLS
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		middle := start.Add(end.Sub(start) / 2)
		c.offset, c.dated = at.Add(500*time.Millisecond).Sub(middle), true // the header's seconds are rounded down
	}

	var s signaling.Servers
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil || c.status != http.StatusOK || c.verifyCertificate(end) != nil || json.Unmarshal(body, &s) != nil {
		return
	}
	if named := parseServers(s.URLs); len(named) > 0 {
		c.servers, c.says = named, true
	}
}

// checkHTTPS tells whether the relay can be reached as signaling reaches it.
func (c *contact) checkHTTPS() Finding {
	f := Finding{Check: "https", Relay: c.name}
	switch {
	case c.err != nil:
		return f.conclude(Bad, "silent", c.explainSilence())
	case c.status == http.StatusNotFound:
		return f.conclude(Unknown, "old", "what answers is an older relay, or none: "+
			"it does not say which servers it has, so the usual ports are tested")
	case c.status != http.StatusOK:
		return f.conclude(Bad, fmt.Sprint(c.status),
			fmt.Sprintf("the answer is HTTP %d: check the URL, and any proxy in front of the relay", c.status))
	}
	return f.conclude(OK, "", "the relay answers")
}

// explainSilence returns why there was no answer, without addresses.
func (c *contact) explainSilence() string {
	var dns *net.DNSError
	switch {
	case errors.As(c.err, &dns):
		return "its name cannot be resolved: check the URL, and this network's DNS"
	case errors.Is(c.err, syscall.ECONNREFUSED):
		return "its machine refuses the connection: the relay is not running, or not listening there"
	case errors.Is(c.err, syscall.ENETUNREACH), errors.Is(c.err, syscall.EHOSTUNREACH):
		return "no network leads to it: connect this machine to the internet"
	case errors.Is(c.err, context.DeadlineExceeded):
		return "no answer: the relay is down, or this network blocks HTTPS to its port"
	}
	return "the connection breaks: what answers is not the relay, or something in between breaks HTTPS"
}

// label returns what findings call a relay: its URL's host, unless that is an address.
func label(relayURL string, number, of int) string {
	if u, err := url.Parse(relayURL); err == nil && u.Hostname() != "" {
		if _, err := netip.ParseAddr(u.Hostname()); err != nil {
			return u.Hostname()
		}
	}
	if of == 1 {
		return "the relay"
	}
	return fmt.Sprintf("relay %d", number)
}
