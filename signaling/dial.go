package signaling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
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

// trusted returns the present TLS configuration, nil for the system's roots.
func (c *Client) trusted() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tls
}

// Trust replaces [ClientConfig].TLS for future connections; the present one goes on.
func (c *Client) Trust(cfg *tls.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.http.CloseIdleConnections()
	c.http, c.tls = newHTTPClient(cfg), cfg
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
			c.noteFailure(c.unreached(err))
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

// dialOneAtATime calls [ClientConfig].Dial, which may search for long, until a call is not given up by Redial.
func (c *Client) dialOneAtATime(ctx context.Context) (*link, error) {
	for {
		searching, cancel := context.WithCancel(ctx)
		c.setDialAnew(cancel)
		l, err := c.dial(searching)
		anew := searching.Err() != nil && ctx.Err() == nil
		c.setDialAnew(nil)
		cancel()

		if err == nil || !anew {
			return l, err
		}
	}
}

func (c *Client) setDialAnew(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialAnew = cancel
}

// dial connects to the server and reads its challenge.
func (c *Client) dial(ctx context.Context) (*link, error) {
	if c.cfg.Dial == nil {
		return c.dialRelay(ctx)
	}

	conn, origin, err := c.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	l, err := c.enter(ctx, otherServer, clientOver(conn), origin)
	if err != nil {
		conn.Close()
	}
	return l, err
}

// dialWebSocket connects to the relay by a WebSocket.
func (c *Client) dialWebSocket(ctx context.Context) (*link, error) {
	return c.enter(ctx, "ws"+c.cfg.URL[len("http"):], c.httpClient(), c.cfg.URL)
}

// enter makes a WebSocket connection to the server at a URL and reads its challenge.
func (c *Client) enter(ctx context.Context, url string, through *http.Client, origin string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	ws, response, err := websocket.Dial(ctx, url+Path, &websocket.DialOptions{
		HTTPClient:   through,
		Subprotocols: []string{Subprotocol},
	})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			err = statusError(response.StatusCode)
		}
		return nil, err
	}

	return c.greeted(ctx, webSocket{ws}, origin)
}

// greeted returns the link over a connection once its challenge has come, or closes the connection.
func (c *Client) greeted(ctx context.Context, conn frameConn, origin string) (*link, error) {
	conn.SetReadLimit(MaxFrame)
	challenge, err := readChallenge(ctx, conn)
	if err != nil {
		conn.CloseNow()
		return nil, fmt.Errorf("read challenge: %w", err)
	}

	c.noteTime(challenge)
	return newLink(conn, origin, challenge.Nonce), nil
}

// otherServer is the URL, and so the Host header, of a server that is no relay. It says nothing about anybody.
const otherServer = "ws://signaling"

// maxHeader bounds the HTTP response of a server that is no relay, in bytes.
const maxHeader = 4096

// clientOver returns an HTTP client that makes its one request over conn. Whatever the server answers, the client
// connects nowhere else.
func clientOver(conn net.Conn) *http.Client {
	unused := make(chan net.Conn, 1)
	unused <- conn
	return &http.Client{Transport: &http.Transport{
		MaxResponseHeaderBytes: maxHeader,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case conn := <-unused:
				return conn, nil
			default:
				return nil, net.ErrClosed
			}
		},
	}}
}

// noteTime notes the server's time, if it tells it.
func (c *Client) noteTime(challenge Challenge) {
	if challenge.Time == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock, c.clockKnown = time.Until(time.UnixMilli(int64(challenge.Time))), true
}

func readChallenge(ctx context.Context, conn frameConn) (Challenge, error) {
	b, err := conn.Read(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = ErrHeldBack
		}
		return Challenge{}, err
	}

	f, err := Parse(b)
	challenge, ok := f.(Challenge)
	if err != nil || !ok {
		return Challenge{}, ErrFrame
	}
	return challenge, nil
}
