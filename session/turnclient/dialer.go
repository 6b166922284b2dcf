package turnclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// alpnTURN names TURN in a TLS handshake (RFC 7443).
const alpnTURN = "stun.turn"

// dialWait is how long it may take to make one connection, including its proxy and its TLS handshake.
const dialWait = 10 * time.Second

var (
	errProxyScheme = errors.New("only http:// and https:// proxies are known here")
	errProxyRefuse = errors.New("the proxy refuses")
)

// Dialer makes the connections of TURN clients over TCP and TLS. pion's own dialer trusts only the system's roots, and
// does not know proxies.
type Dialer struct {
	ctx    context.Context // ends dialing, not connections
	secure map[string]bool // host:port of the servers that are reached over TLS
	tls    *tls.Config     // verifies those servers; nil means the system's roots
	udp    *headStart
	proxy  func(*http.Request) (*url.URL, error)
}

func newDialer(ctx context.Context, urls []string, trust *tls.Config, udp *headStart) *Dialer {
	d := &Dialer{
		ctx:    ctx,
		secure: make(map[string]bool),
		tls:    trust,
		udp:    udp,
		proxy:  http.ProxyFromEnvironment,
	}

	for _, u := range urls {
		if rest, ok := strings.CutPrefix(u, "turns:"); ok {
			address, _, _ := strings.Cut(rest, "?")
			if _, _, err := net.SplitHostPort(address); err != nil {
				address = net.JoinHostPort(strings.Trim(address, "[]"), "5349") // RFC 7065, section 3.2
			}
			d.secure[address] = true
		}
	}

	return d
}

// Dial connects over "tcp4" or "tcp6". pion calls it.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dialWait)
	defer cancel()
	if d.udp.wait(ctx, udpHeadStart) {
		return nil, errNotNeeded
	}

	began := time.Now()
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial TURN server: %w", err)
	}

	// Connecting took at least one round trip, and an allocation over UDP takes two, so a distant relay may be about to
	// grant one.
	if d.udp.wait(ctx, 2*time.Since(began)-udpHeadStart) {
		conn.Close()
		return nil, errNotNeeded
	}
	return streamConn{conn}, nil
}

func (d *Dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if !d.secure[address] {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	conn, err := d.reach(ctx, network, address)
	if err != nil {
		return nil, err
	}

	secure, err := d.handshake(ctx, conn, address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

func (d *Dialer) handshake(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c := d.tls.Clone()
	if c == nil {
		c = new(tls.Config)
	}

	c.ServerName, c.NextProtos, c.MinVersion = host, []string{alpnTURN}, tls.VersionTLS13
	secure := tls.Client(conn, c)
	return secure, secure.HandshakeContext(ctx)
}

// reach connects to a server's HTTPS port, through the proxy that the environment names, as signaling does.
func (d *Dialer) reach(ctx context.Context, network, address string) (net.Conn, error) {
	proxy, err := d.proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil {
		return nil, fmt.Errorf("choose proxy: %w", err)
	}
	if proxy == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}

	var conn net.Conn
	switch proxy.Scheme {
	case "http":
		conn, err = (&net.Dialer{}).DialContext(ctx, network, hostport(proxy, "80"))
	case "https":
		conn, err = (&tls.Dialer{}).DialContext(ctx, network, hostport(proxy, "443"))
	default:
		err = errProxyScheme
	}
	if err != nil {
		return nil, fmt.Errorf("dial proxy: %w", err)
	}

	if err := tunnel(ctx, conn, proxy.User, address); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect through proxy: %w", err)
	}
	return conn, nil
}

func hostport(u *url.URL, standard string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), standard)
}

// tunnel asks a proxy to connect to address (RFC 9110, section 9.3.6).
func tunnel(ctx context.Context, conn net.Conn, user *url.Userinfo, address string) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	ask := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: address},
		Host:   address,
		Header: make(http.Header),
	}

	if password, ok := user.Password(); ok || user.Username() != "" {
		ask.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := ask.Write(conn); err != nil {
		return err
	}

	// The server speaks only after us, so the reader has read nothing of the server behind the proxy's answer.
	answer, err := http.ReadResponse(bufio.NewReader(conn), ask)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errProxyRefuse, answer.Status)
	}
	return nil
}

// streamConn is a TURN client's connection. It does not ask for permissions that the relay refuses; see agentNet.
type streamConn struct{ net.Conn }

// Write gets whole messages, because pion's TURN client writes nothing less.
func (c streamConn) Write(b []byte) (int, error) {
	if futile(b) {
		return 0, errNoWayOut
	}
	return c.Conn.Write(b)
}
