package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pion/stun/v3"
)

const (
	streamTimeout = 8 * time.Second
	alpnTURN      = "stun.turn" // RFC 7443
)

var errNotSTUN = errors.New("what answers is not a STUN server")

// checkTCP tells whether the relay's TURN server can be reached over TCP.
func (c *contact) checkTCP(ctx context.Context) Finding {
	f := Finding{Check: "tcp", Relay: c.name}
	s, ok := findServer(c.servers, "turn", true)
	if !ok {
		return f.conclude(Unknown, "", "the relay has no TURN server over TCP, or does not say so")
	}

	switch err := c.bindOverStream(ctx, s); {
	case err == nil:
		return f.conclude(OK, "yes", "it gets through")
	case errors.Is(err, errNotSTUN):
		return f.conclude(Bad, "silent", fmt.Sprintf("something other than TURN answers at port %d: "+
			"let TCP to that port pass in the firewall or proxy in between", s.port))
	case !c.says:
		return f.conclude(Unknown, "silent", unsaid)
	}
	return f.conclude(Bad, "silent", fmt.Sprintf("port %d cannot be reached: let TCP out to it in the firewall, "+
		"or pictures go over TLS where UDP is blocked", s.port))
}

// checkTLS tells whether TURN over TLS can be reached, usually at HTTPS's port: the way out of the strictest networks.
func (c *contact) checkTLS(ctx context.Context) Finding {
	f := Finding{Check: "tls", Relay: c.name}
	s, ok := findServer(c.servers, "turns", true)
	if !ok && strings.HasPrefix(c.URL, "http:") {
		return f.conclude(OK, "none", "none is needed: the relay is on this machine")
	}
	if !ok {
		return f.conclude(Unknown, "", "the relay has no TURN server over TLS, or does not say so")
	}
	request := &http.Request{URL: &url.URL{Scheme: "https", Host: s.hostPort()}}
	if proxy, err := http.ProxyFromEnvironment(request); err == nil && proxy != nil {
		return f.conclude(Unknown, "proxy", "not tested: it would go through the proxy that the environment sets")
	}

	var certificate *tls.CertificateVerificationError
	switch err := c.bindOverStream(ctx, s); {
	case err == nil:
		return f.conclude(OK, "yes", fmt.Sprintf("TURN over TLS gets through, at port %d", s.port))
	case errors.As(err, &certificate):
		return f.conclude(Bad, "certificate", "its certificate is not trusted here: see certificate")
	case !c.says:
		return f.conclude(Unknown, "silent", unsaid)
	case errors.Is(err, errNotSTUN):
		return f.conclude(Bad, "silent", fmt.Sprintf("something other than TURN answers at port %d: "+
			"a proxy ends TLS in front of the relay; let it pass TCP through", s.port))
	}
	return f.conclude(Bad, "silent", fmt.Sprintf("port %d cannot be reached over TLS: "+
		"let it out in the firewall or proxy here, since it is the only way where UDP is blocked", s.port))
}

// hostPort returns the server's host and port, for dialing.
func (s server) hostPort() string {
	return net.JoinHostPort(strings.Trim(s.host, "[]"), fmt.Sprint(s.port))
}

// bindOverStream sends a Binding request over TCP or TLS and waits for its answer.
func (c *contact) bindOverStream(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.hostPort())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	if s.kind == "turns" {
		secure := tls.Client(conn, c.turnTLS(s))
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secure
	}

	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request.Raw); err != nil {
		return err
	}
	const header = 20
	answer := make([]byte, header)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if !stun.IsMessage(answer) || string(answer[8:]) != string(request.TransactionID[:]) {
		return errNotSTUN
	}
	return nil
}

// turnTLS returns the TLS configuration for a TURN server.
func (c *contact) turnTLS(s server) *tls.Config {
	cfg := c.Trust.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg.ServerName = strings.Trim(s.host, "[]")
	cfg.NextProtos = []string{alpnTURN}
	cfg.MinVersion = tls.VersionTLS13
	return cfg
}
