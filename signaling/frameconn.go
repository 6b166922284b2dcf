package signaling

import (
	"context"

	"github.com/coder/websocket"
)

// frameConn carries frames to a server and back, over a WebSocket or WebTransport. One goroutine reads; several may
// write.
type frameConn interface {
	Read(ctx context.Context) ([]byte, error)
	SetReadLimit(n int64)
	Write(ctx context.Context, frame []byte) error
	// Ping waits until the server has answered. Somebody must be reading.
	Ping(ctx context.Context) error
	CloseNow() error
}

// mover is a frameConn that can go on in another network.
type mover interface {
	// Move returns once the server answers there. If it fails, the connection is of no use.
	Move(ctx context.Context) error
}

// webSocket is a frameConn.
type webSocket struct{ *websocket.Conn }

// Read implements frameConn. It returns ErrFrame from a server that speaks another protocol.
func (w webSocket) Read(ctx context.Context) ([]byte, error) {
	_, b, err := w.Conn.Read(ctx)
	if err == nil && w.Subprotocol() != Subprotocol {
		err = ErrFrame
	}
	return b, err
}

// Write implements frameConn.
func (w webSocket) Write(ctx context.Context, frame []byte) error {
	return w.Conn.Write(ctx, websocket.MessageBinary, frame)
}
