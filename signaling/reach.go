package signaling

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
	"syscall"
	"unicode"

	"github.com/coder/websocket"
)

// reachError says in a person's words why there is no connection to a relay.
type reachError struct {
	host string
	err  error
}

func (e *reachError) Error() string {
	return fmt.Sprintf("cannot reach the relay at %s: %s", e.host, cause(e.err))
}

func (e *reachError) Unwrap() error { return e.err }

// statusError is an HTTP answer that is no WebSocket's.
type statusError int

func (e statusError) Error() string {
	switch int(e) {
	case http.StatusTooManyRequests:
		return "it has too many connections from this network"
	case http.StatusServiceUnavailable:
		return "it is shutting down"
	}
	return fmt.Sprintf("it answers HTTP %d: is it a Peephole relay?", int(e))
}

func cause(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var status statusError
	var refusal *Error
	var timeout net.Error
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &refusal):
		return refusal.Text
	case errors.As(err, &certificate):
		return "its certificate is not to be trusted: " + certificate.Err.Error()
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
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed), websocket.CloseStatus(err) != -1:
		return "connection lost"
	}
	return err.Error()
}

// maxText bounds what a relay can have shown to a person, in bytes.
const maxText = 200

// printable is a relay's text without what could play with a terminal.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// checkURL says what is wrong with a relay URL.
func checkURL(relayURL string) error {
	u, err := url.Parse(relayURL)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("read relay URL: want https://HOST or https://HOST:PORT")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !Loopback(relayURL)) {
		return fmt.Errorf("read relay URL %s: want https:// (http:// only for a relay on this machine)", relayURL)
	}
	return nil
}

func host(relayURL string) string {
	if u, err := url.Parse(relayURL); err == nil {
		return u.Host
	}
	return relayURL
}

// Loopback says whether a relay URL names this machine.
func Loopback(relayURL string) bool {
	u, err := url.Parse(relayURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
