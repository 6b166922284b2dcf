package signaling

import (
	"context"
	"crypto/tls"
	"time"
)

// CheckRelay connects to a relay once, by a WebSocket, and leaves the connection idle for some time. It returns
// ErrUpgradeDropped, ErrHeldBack, an *IdleCutError, or another error that says in a person's words why there is no
// connection. Its errors do not name the host.
func CheckRelay(ctx context.Context, relayURL string, trust *tls.Config, idle time.Duration) error {
	c, err := NewClient(ClientConfig{URL: relayURL, TLS: trust})
	if err != nil {
		return err
	}
	defer c.httpClient().CloseIdleConnections()

	l, err := c.dialWebSocket(ctx)
	if err != nil {
		return &relayError{err}
	}
	defer l.close()

	waiting, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	for {
		_, err := l.conn.Read(waiting)
		if waiting.Err() != nil {
			return ctx.Err()
		}
		if silence := l.silenceAtCut(err); silence > 0 {
			return &IdleCutError{silence}
		}
		if err != nil {
			return &relayError{err}
		}
		l.noteArrival()
	}
}

// relayError is a reachError that does not name the host.
type relayError struct{ err error }

func (e *relayError) Error() string { return cause(e.err) }

func (e *relayError) Unwrap() error { return e.err }

// CheckWebTransport connects to a relay once over HTTP/3, and returns why that is not possible. Unlike a Client, it
// tries even where an HTTP proxy is configured.
func CheckWebTransport(ctx context.Context, relayURL string, trust *tls.Config) error {
	c, err := NewClient(ClientConfig{URL: relayURL, TLS: trust})
	if err != nil {
		return err
	}
	l, err := c.dialWebTransport(ctx)
	if err != nil {
		return &relayError{err}
	}
	l.close()
	return nil
}
