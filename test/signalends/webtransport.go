package main

import (
	"context"
	"crypto/tls"

	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// webTransportDialer connects over HTTP/3, as package signaling does.
type webTransportDialer struct {
	at    string
	trust *tls.Config
}

// Dial implements dialer. The server opens the stream, so that its challenge comes with its answer.
func (d *webTransportDialer) Dial(ctx context.Context) (messageConn, error) {
	conn, err := webtransport.Dialer{TLS: d.trust}.Dial(ctx, d.at)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxMessage)
	return webTransport{conn}, nil
}

// webTransport carries messages on a session's stream.
type webTransport struct{ conn *webtransport.Conn }

// Send implements messageConn.
func (w webTransport) Send(ctx context.Context, message []byte) error {
	return w.conn.Write(ctx, message)
}

// Receive implements messageConn.
func (w webTransport) Receive(ctx context.Context) ([]byte, error) { return w.conn.Read(ctx) }

// Move implements mover.
func (w webTransport) Move(ctx context.Context) error { return w.conn.Move(ctx) }

// Close implements messageConn.
func (w webTransport) Close() { _ = w.conn.CloseNow() }
