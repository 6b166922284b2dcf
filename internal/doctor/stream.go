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
	streamWait = 8 * time.Second
	alpnTURN   = "stun.turn" // RFC 7443
)

var errNotSTUN = errors.New("what answers is no STUN server")

// tcp says whether the relay's TURN server can be reached over TCP.
func (c *contact) tcp(ctx context.Context) Finding {
	f := Finding{Check: "tcp", Relay: c.name, Verdict: Unknown, Text: "the relay has no TURN server over TCP, or does not say so"}
	s, ok := find(c.servers, "turn", true)
	if !ok {
		return f
	}
	f.Verdict, f.Value = Bad, "silent"
	switch err := c.askStream(ctx, s); {
	case err == nil:
		f.Verdict, f.Value, f.Text = OK, "yes", "it gets through"
	case errors.Is(err, errNotSTUN):
		f.Text = fmt.Sprintf("something else than TURN answers at port %d: a firewall or proxy stands between; have it let TCP to that port pass", s.port)
	case !c.says:
		f.Verdict, f.Text = Unknown, unsaid
	default:
		f.Text = fmt.Sprintf("port %d cannot be reached: have the firewall let TCP out to it, or where UDP is blocked pictures go over TLS", s.port)
	}
	return f
}

// tls says whether TURN over TLS can be reached, at the port of HTTPS as a rule: the way out of the strictest network.
func (c *contact) tls(ctx context.Context) Finding {
	f := Finding{Check: "tls", Relay: c.name, Verdict: Unknown, Text: "the relay has no TURN server over TLS, or does not say so"}
	s, ok := find(c.servers, "turns", true)
	if !ok {
		if strings.HasPrefix(c.URL, "http:") {
			f.Verdict, f.Value, f.Text = OK, "none", "none is needed: the relay is on this machine"
		}
		return f
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: c.at(s)}}); err == nil && proxy != nil {
		f.Value, f.Text = "proxy", "it would go through the proxy that the environment names, and is not tested"
		return f
	}
	f.Verdict, f.Value = Bad, "silent"
	var certificate *tls.CertificateVerificationError
	switch err := c.askStream(ctx, s); {
	case err == nil:
		f.Verdict, f.Value, f.Text = OK, "yes", fmt.Sprintf("TURN over TLS gets through, at port %d", s.port)
	case errors.As(err, &certificate):
		f.Value, f.Text = "certificate", "its certificate is not trusted here: see certificate"
	case !c.says:
		f.Verdict, f.Text = Unknown, unsaid
	case errors.Is(err, errNotSTUN):
		f.Text = fmt.Sprintf("something else than TURN answers at port %d: a proxy takes TLS off before the relay; let it pass TCP through", s.port)
	default:
		f.Text = fmt.Sprintf("port %d cannot be reached over TLS: have the firewall or proxy here let it out, for where UDP is blocked it is the only way", s.port)
	}
	return f
}

func (c *contact) at(s server) string {
	return net.JoinHostPort(strings.Trim(s.host, "[]"), fmt.Sprint(s.port))
}

// askStream sends a Binding request over TCP or TLS and waits for its answer.
func (c *contact) askStream(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, streamWait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.at(s))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if s.kind == "turns" {
		trust := c.Trust.Clone()
		if trust == nil {
			trust = new(tls.Config)
		}
		trust.ServerName, trust.NextProtos, trust.MinVersion = strings.Trim(s.host, "[]"), []string{alpnTURN}, tls.VersionTLS13
		secure := tls.Client(conn, trust)
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
