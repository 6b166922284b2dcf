package signaling

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// raceGrace is how long WebTransport has to connect after the WebSocket has failed.
const raceGrace = time.Second

// dialRelay connects to the relay. If WebTransport is wanted, it tries both carriers at once, and returns the link that
// is up first. If both fail, it returns the WebSocket's error, because WebTransport also fails wherever a network
// blocks UDP.
func (c *Client) dialRelay(ctx context.Context) (*link, error) {
	if !c.wantsWebTransport() {
		return c.dialWebSocket(ctx)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overUDP := attempt(ctx, c.dialWebTransport)
	overTCP := attempt(ctx, c.dialWebSocket)

	select {
	case l := <-overUDP:
		if l.err == nil {
			cancel()
			(<-overTCP).close()
			return l.link, nil
		}
		c.cfg.Logger.Debug("no WebTransport", "err", l.err)
		l = <-overTCP
		return l.link, l.err
	case l := <-overTCP:
		if l.err == nil {
			cancel()
			(<-overUDP).close()
			return l.link, nil
		}
		defer time.AfterFunc(raceGrace, cancel).Stop()
		if late := <-overUDP; late.err == nil {
			return late.link, nil
		}
		return nil, l.err
	}
}

// dialed is how an attempt to connect ended.
type dialed struct {
	link *link
	err  error
}

// close closes the connection, if there is one.
func (d dialed) close() {
	if d.err == nil {
		d.link.conn.CloseNow()
	}
}

// attempt starts an attempt to connect.
func attempt(ctx context.Context, dial func(context.Context) (*link, error)) <-chan dialed {
	ended := make(chan dialed, 1)
	go func() {
		l, err := dial(ctx)
		ended <- dialed{l, err}
	}()
	return ended
}

// wantsWebTransport reports whether to try HTTP/3. It does not bypass an HTTP proxy, which carries no UDP.
func (c *Client) wantsWebTransport() bool {
	if !c.cfg.WebTransport || !strings.HasPrefix(c.cfg.URL, "https://") {
		return false
	}
	request, err := http.NewRequest(http.MethodGet, c.cfg.URL, nil)
	if err != nil {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(request)
	return err == nil && proxy == nil
}

// dialWebTransport connects to the relay over HTTP/3.
func (c *Client) dialWebTransport(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	at, err := url.Parse(c.cfg.URL)
	if err != nil {
		return nil, err
	}
	hostPort := at.Host
	if at.Port() == "" {
		hostPort = net.JoinHostPort(at.Hostname(), "443")
	}
	conn, err := webtransport.Dialer{TLS: c.trusted()}.Dial(ctx, hostPort)
	if err != nil {
		return nil, err
	}
	return c.greeted(ctx, conn, c.cfg.URL)
}
