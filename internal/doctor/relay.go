package doctor

import (
	"context"
	"crypto/tls"
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
)

// Relay is a relay to ask.
type Relay struct {
	URL   string
	Trust *tls.Config // nil: the system's roots
}

const (
	contactWait = 10 * time.Second
	maxAnswer   = 16 << 10 // bytes
)

// contact is what a relay said over HTTPS.
type contact struct {
	Relay
	name    string // for findings
	err     error  // there was no answer
	status  int    // HTTP's
	state   *tls.ConnectionState
	offset  time.Duration // its clock minus this machine's
	dated   bool
	servers []server
	says    bool // the servers are what it said; else the customary ones
}

// reach asks a relay for its servers.
func (r Relay) reach(ctx context.Context, name string) *contact {
	c := &contact{Relay: r, name: name, servers: customary(r.URL)}
	ctx, cancel := context.WithTimeout(ctx, contactWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+ServersPath, nil)
	if err != nil {
		c.err = err
		return c
	}
	// The handshake takes any certificate, so that one that is bad, or a wrong clock, can be told from no answer: certificate judges it, and
	// what is said under one that it finds bad is not believed.
	trust := r.Trust.Clone()
	if trust == nil {
		trust = new(tls.Config)
	}
	trust.InsecureSkipVerify = true
	transport := &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	asked := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		c.err = err
		return c
	}
	defer answer.Body.Close()
	now := time.Now()
	c.status, c.state = answer.StatusCode, answer.TLS
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		// The header says whole seconds, cut off.
		c.offset, c.dated = at.Add(500*time.Millisecond).Sub(asked.Add(now.Sub(asked)/2)), true
	}
	var s Servers
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && c.status == http.StatusOK && c.trusted(now) == nil && json.Unmarshal(body, &s) == nil {
		if said := parseServers(s.URLs); len(said) > 0 {
			c.servers, c.says = said, true
		}
	}
	return c
}

// https says whether the relay can be reached as signaling reaches it.
func (c *contact) https() Finding {
	f := Finding{Check: "https", Relay: c.name, Verdict: OK, Text: "the relay answers"}
	switch {
	case c.err != nil:
		f.Verdict, f.Value, f.Text = Bad, "silent", c.unreached()
	case c.status == http.StatusNotFound:
		f.Verdict, f.Value, f.Text = Unknown, "old", "something answers that does not say which servers it has: it is an older relay, or none; the customary ports are tested"
	case c.status != http.StatusOK:
		f.Verdict, f.Value = Bad, fmt.Sprint(c.status)
		f.Text = fmt.Sprintf("what answers says HTTP %d: check the URL, and a proxy in front of the relay", c.status)
	}
	return f
}

// unreached says why there was no answer, without addresses.
func (c *contact) unreached() string {
	var dns *net.DNSError
	switch {
	case errors.As(c.err, &dns):
		return "its name is not known here: check the URL, and this network's DNS"
	case errors.Is(c.err, syscall.ECONNREFUSED):
		return "its machine refuses the connection: the relay does not run, or does not listen there"
	case errors.Is(c.err, syscall.ENETUNREACH), errors.Is(c.err, syscall.EHOSTUNREACH):
		return "there is no network that leads to it: connect this machine to the internet"
	case errors.Is(c.err, context.DeadlineExceeded):
		return "nothing comes back: the relay is down, or this network does not let HTTPS out to its port"
	}
	return "the connection breaks: the relay is not what answers there, or something between breaks HTTPS"
}

// CheckURL says what is wrong with a relay's URL.
func CheckURL(relayURL string) error {
	u, err := url.Parse(relayURL)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("read relay URL: want https://HOST or https://HOST:PORT")
	}
	return nil
}

// label is how findings name a relay: by the URL's host, unless that is an address.
func label(relayURL string, number, of int) string {
	u, err := url.Parse(relayURL)
	if err == nil {
		if _, err := netip.ParseAddr(u.Hostname()); err != nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	if of == 1 {
		return "the relay"
	}
	return fmt.Sprintf("relay %d", number)
}
