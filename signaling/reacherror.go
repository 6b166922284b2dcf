package signaling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/coder/websocket"
)

// reachError says why there is no connection to a relay, in a person's words.
type reachError struct {
	host string
	err  error
}

func (e *reachError) Error() string {
	return fmt.Sprintf("cannot reach the relay at %s: %s", e.host, cause(e.err))
}

func (e *reachError) Unwrap() error { return e.err }

// serverError is a reachError about a server that is no relay.
type serverError struct {
	server string
	err    error
}

func (e *serverError) Error() string {
	return fmt.Sprintf("cannot reach %s: %s", e.server, cause(e.err))
}

func (e *serverError) Unwrap() error { return e.err }

// unreached returns why there is no connection, in a person's words.
func (c *Client) unreached(err error) error {
	if c.cfg.Dial != nil {
		return &serverError{c.cfg.URL, err}
	}
	return &reachError{host(c.cfg.URL), err}
}

// statusError is the status of an HTTP response that does not accept the WebSocket.
type statusError int

// Unwrap returns ErrUpgradeDropped for the status with which a relay answers a request that does not ask for WebSocket,
// because our request did ask for it.
func (e statusError) Unwrap() error {
	if int(e) == http.StatusUpgradeRequired {
		return ErrUpgradeDropped
	}
	return nil
}

func (e statusError) Error() string {
	switch int(e) {
	case http.StatusTooManyRequests:
		return "it has too many connections from this network"
	case http.StatusServiceUnavailable:
		return "it is shutting down, or a proxy in front of it cannot reach it"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return fmt.Sprintf("a proxy in front of it cannot reach it (HTTP %d): is the relay running?", int(e))
	case http.StatusUpgradeRequired:
		return ErrUpgradeDropped.Error()
	}
	return fmt.Sprintf("it answers HTTP %d: is it a Peephole relay?", int(e))
}

// oldTLS is the text of crypto/tls's error if the other side supports none of our versions. It exports no type for it.
const oldTLS = "remote error: tls: protocol version not supported"

// cause returns the reason why a connection failed, in a person's words.
func cause(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var status statusError
	var refusal *Error
	var timeout net.Error
	var cut *IdleCutError

	switch {
	case errors.As(err, &cut):
		return cut.Error()
	case errors.Is(err, ErrHeldBack):
		return ErrHeldBack.Error()
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &refusal):
		return refusal.Text
	case errors.As(err, &certificate):
		return distrust(certificate.Err)
	case strings.Contains(err.Error(), oldTLS):
		return "it, or a proxy in front of it, does not speak TLS 1.3: enable it there"
	case errors.As(err, &dns):
		return "no such host"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no network"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	case errors.Is(err, ErrFrame):
		return "it does not speak this protocol: is it a Peephole relay?"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed),
		websocket.CloseStatus(err) != -1:
		return "connection lost"
	}

	return err.Error()
}

// distrust returns why a certificate is not trusted. It cannot know whether the clock or the certificate is wrong.
func distrust(err error) string {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return "its certificate is not trusted: " + err.Error()
	}
	if strings.Contains(invalid.Detail, " is before ") {
		return "its certificate is not valid yet by this machine's clock (" + invalid.Detail + "): " +
			"set the clock if it is wrong"
	}
	return "its certificate has expired by this machine's clock (" + invalid.Detail + "): " +
		"ask the relay's operator to renew it, or set the clock if it is wrong"
}

func host(relayURL string) string {
	if u, err := url.Parse(relayURL); err == nil {
		return u.Host
	}
	return relayURL
}
