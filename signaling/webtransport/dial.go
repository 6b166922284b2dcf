package webtransport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// Dialer connects to relays. The zero value trusts the system's roots.
type Dialer struct {
	TLS       *tls.Config  // nil means the system's roots
	LocalAddr *net.UDPAddr // nil means any
}

// Dial connects to the relay at HOST:PORT. The caller must close the connection with CloseNow.
func (d Dialer) Dial(ctx context.Context, hostPort string) (_ *Conn, err error) {
	to, err := resolve(ctx, hostPort)
	if err != nil {
		return nil, err
	}

	c := &Conn{path: path{from: d.LocalAddr, to: to}, pongs: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			_ = c.CloseNow()
		}
	}()
	stop := func() bool { return true }
	defer func() { stop() }()
	transport := &webtransport.Transport{
		TLSClientConfig: d.secure(),
		QUICConfig:      newConfig(clientWindow),
		DialAddr: func(ctx context.Context, _ string, secure *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			socket, err := c.path.open()
			if err != nil {
				return nil, err
			}
			secure.ServerName, _, _ = net.SplitHostPort(hostPort) // as resolve did
			over, err := socket.DialEarly(ctx, to, secure, cfg)
			if err == nil { // webtransport-go would wait for an answer even after ctx has ended
				stop = context.AfterFunc(ctx, func() { _ = over.CloseWithError(0, "") })
			}
			c.quic = over
			return over, err
		},
	}

	_, session, err := transport.Dial(ctx, "https://"+hostPort+Path, nil)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	stream, err := session.AcceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for the stream: %w", err)
	}
	c.begin(clientStream{stream})
	return c, nil
}

// clientStream is the client's end of a session's stream.
type clientStream struct{ *webtransport.Stream }

func (s clientStream) CancelRead()  { s.Stream.CancelRead(0) }
func (s clientStream) CancelWrite() { s.Stream.CancelWrite(0) }

// secure returns the TLS configuration for HTTP/3, whatever else it was made for.
func (d Dialer) secure() *tls.Config {
	secure := &tls.Config{}
	if d.TLS != nil {
		secure = d.TLS.Clone()
	}
	secure.MinVersion = tls.VersionTLS13
	secure.NextProtos = []string{http3.NextProtoH3}
	return secure
}

// resolve returns the address at which to reach HOST:PORT, as the system would choose it for a datagram.
func resolve(ctx context.Context, hostPort string) (*net.UDPAddr, error) {
	var d net.Dialer
	probe, err := d.DialContext(ctx, "udp", hostPort) // sends nothing
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	return probe.RemoteAddr().(*net.UDPAddr), nil
}
