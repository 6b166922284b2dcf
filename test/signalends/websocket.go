package main

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/coder/websocket"
)

// webSocketDialer connects as package signaling does.
type webSocketDialer struct {
	at    string
	trust *tls.Config
}

// Dial implements dialer.
func (d *webSocketDialer) Dial(ctx context.Context) (messageConn, error) {
	through := &http.Client{Transport: &http.Transport{TLSClientConfig: d.trust.Clone()}}
	conn, _, err := websocket.Dial(ctx, "wss://"+d.at+path, &websocket.DialOptions{HTTPClient: through})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxMessage)
	return webSocket{conn}, nil
}

// webSocket carries each message in one of its own.
type webSocket struct{ conn *websocket.Conn }

// Send implements messageConn.
func (w webSocket) Send(ctx context.Context, message []byte) error {
	return w.conn.Write(ctx, websocket.MessageBinary, message)
}

// Receive implements messageConn.
func (w webSocket) Receive(ctx context.Context) ([]byte, error) {
	_, message, err := w.conn.Read(ctx)
	return message, err
}

// Close implements messageConn.
func (w webSocket) Close() { w.conn.CloseNow() }
