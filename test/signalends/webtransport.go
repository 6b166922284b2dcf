package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// quicConfig is both ends'. WebTransport wants the two extensions.
var quicConfig = &quic.Config{
	EnableDatagrams:                  true,
	EnableStreamResetPartialDelivery: true,
	KeepAlivePeriod:                  20 * time.Second,
}

// webTransportDialer connects over HTTP/3.
type webTransportDialer struct {
	at    string
	trust *tls.Config
}

// Dial implements dialer. The server opens the stream, so that its challenge comes with its answer.
func (d *webTransportDialer) Dial(ctx context.Context) (_ messageConn, err error) {
	w := &webTransport{}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	transport := &webtransport.Transport{
		TLSClientConfig: d.trust.Clone(),
		QUICConfig:      quicConfig,
		DialAddr: func(ctx context.Context, at string, trust *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			to, err := net.ResolveUDPAddr("udp", at)
			if err != nil {
				return nil, err
			}
			socket, err := newSocket()
			if err != nil {
				return nil, err
			}
			w.sockets = append(w.sockets, socket)
			w.conn, err = socket.DialEarly(ctx, to, trust, cfg)
			return w.conn, err
		},
	}

	transport.TLSClientConfig.NextProtos = []string{http3.NextProtoH3}
	if _, w.session, err = transport.Dial(ctx, "https://"+d.at+path, nil); err != nil {
		return nil, err
	}
	if w.stream, err = w.session.AcceptStream(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

func newSocket() (*quic.Transport, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: tolerant{conn}}, nil
}

// tolerant is a socket that loses what it cannot send. quic-go closes a connection after the first such error, and so
// could take none from a network that is gone.
type tolerant struct{ *net.UDPConn }

// WriteTo implements net.PacketConn.
func (c tolerant) WriteTo(p []byte, to net.Addr) (int, error) {
	_, _ = c.UDPConn.WriteTo(p, to)
	return len(p), nil
}

// WriteMsgUDP implements quic.OOBCapablePacketConn.
func (c tolerant) WriteMsgUDP(p, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	_, _, _ = c.UDPConn.WriteMsgUDP(p, oob, to)
	return len(p), len(oob), nil
}

// webTransport carries messages on a stream, each after its length.
type webTransport struct {
	stream  *webtransport.Stream
	session *webtransport.Session
	conn    *quic.Conn        // nil at the server
	path    *quic.Path        // the one in use; nil for the first
	sockets []*quic.Transport // the last one is in use
}

// Send implements messageConn.
func (w *webTransport) Send(_ context.Context, message []byte) error {
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	_, err := w.stream.Write(append(framed, message...))
	return err
}

// Receive implements messageConn.
func (w *webTransport) Receive(ctx context.Context) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { w.stream.CancelRead(0) })()
	var size [4]byte
	if _, err := io.ReadFull(w.stream, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	message := make([]byte, n)
	_, err := io.ReadFull(w.stream, message)
	return message, err
}

// Move implements mover: it tries a path from a new socket, and takes the connection there.
func (w *webTransport) Move(ctx context.Context) error {
	socket, err := newSocket()
	if err != nil {
		return err
	}
	path, err := w.conn.AddPath(socket)
	if err != nil {
		return err
	}
	if err := path.Probe(ctx); err != nil {
		return err
	}
	if err := path.Switch(); err != nil {
		return err
	}

	if w.path != nil {
		_ = w.path.Close() // gives its connection ID back
	}
	w.path, w.sockets = path, append(w.sockets, socket)
	return nil
}

// Close implements messageConn.
func (w *webTransport) Close() {
	if w.session != nil {
		_ = w.session.CloseWithError(0, "")
	}
	if w.conn != nil {
		_ = w.conn.CloseWithError(0, "")
	}
	for _, socket := range w.sockets {
		_ = socket.Close()
		_ = socket.Conn.Close()
	}
}
