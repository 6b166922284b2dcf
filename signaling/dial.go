package signaling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	dialTimeout = 10 * time.Second
	maxDials    = 8 // attempts under way at the same time
)

func newHTTPClient(cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     cfg,
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: dialTimeout,
	}}
}

// httpClient returns the present HTTP client.
func (c *Client) httpClient() *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.http
}

// Trust replaces [ClientConfig].TLS for future connections; the present one goes on.
func (c *Client) Trust(cfg *tls.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.http.CloseIdleConnections()
	c.http = newHTTPClient(cfg)
}

// dialUntilReached dials the relay. While somebody waits, it starts another attempt every redialInterval, without
// waiting for earlier ones to fail: a new attempt finds a network that has come back at once, whereas one that began
// while the network was down must sit out TCP's timeouts.
func (c *Client) dialUntilReached(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	var attempts sync.WaitGroup
	defer attempts.Wait()
	defer cancel()

	reached, failed := make(chan *link), make(chan error)
	underWay := 0
	dial := func() {
		underWay++
		attempts.Go(func() { c.tryDial(ctx, reached, failed) })
	}
	dial()

	redial := time.NewTicker(redialInterval)
	defer redial.Stop()
	for {
		select {
		case l := <-reached:
			return l, nil
		case err := <-failed:
			underWay--
			if underWay == 0 && !c.urgent() {
				return nil, err
			}
			c.noteFailure(&reachError{host(c.cfg.URL), err})
		case <-c.dialNow: // the other end of a session can cause this as often as it likes
			if underWay < maxDials {
				dial()
			}
		case <-redial.C:
			if c.urgent() && underWay < maxDials {
				dial()
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryDial makes one attempt, and reports how it ended. If nobody wants the connection any more, tryDial closes it.
func (c *Client) tryDial(ctx context.Context, reached chan<- *link, failed chan<- error) {
	l, err := c.dial(ctx)
	if err != nil {
		select {
		case failed <- err:
		case <-ctx.Done():
		}
		return
	}

	select {
	case reached <- l:
	case <-ctx.Done():
		l.conn.CloseNow()
	}
}

// dial connects to the relay and reads its challenge.
func (c *Client) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	url := "ws" + c.cfg.URL[len("http"):] + Path
	conn, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:   c.httpClient(),
		Subprotocols: []string{Subprotocol},
	})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			err = statusError(response.StatusCode)
		}
		return nil, err
	}

	conn.SetReadLimit(MaxFrame)
	challenge, err := readChallenge(ctx, conn)
	if err != nil {
		conn.CloseNow()
		return nil, fmt.Errorf("read challenge: %w", err)
	}

	c.mu.Lock()
	c.clock, c.clockKnown = time.Until(time.UnixMilli(int64(challenge.Time))), true
	c.mu.Unlock()
	return newLink(conn, c.cfg.URL, challenge.Nonce), nil
}

func readChallenge(ctx context.Context, conn *websocket.Conn) (Challenge, error) {
	_, b, err := conn.Read(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = ErrHeldBack
		}
		return Challenge{}, err
	}

	f, err := Parse(b)
	challenge, ok := f.(Challenge)
	if err != nil || !ok || conn.Subprotocol() != Subprotocol {
		return Challenge{}, ErrFrame
	}
	return challenge, nil
}
