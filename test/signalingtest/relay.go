// Package signalingtest plays one end of signaling for tests of the other: a relay or a client that sends whatever a
// test wants. It is for tests alone and keeps none of the protocol's promises.
package signalingtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

// Conn is one end of a connection.
type Conn struct {
	ws  *websocket.Conn
	ctx context.Context
}

// Read waits for the other end's next frame.
func (c Conn) Read() (signaling.Frame, error) {
	_, b, err := c.ws.Read(c.ctx)
	if err != nil {
		return nil, err
	}
	return signaling.Parse(b)
}

// Say sends a frame, true or not. It returns false once the connection has ended.
func (c Conn) Say(f signaling.Frame) bool {
	return c.ws.Write(c.ctx, websocket.MessageBinary, signaling.Append(nil, f)) == nil
}

// Serve calls relay for every connection to the returned URL, until the test ends.
func Serve(t testing.TB, relay func(Conn)) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}})
		if err != nil {
			return // Accept has answered
		}
		defer ws.CloseNow()
		relay(Conn{ws, r.Context()})
	}))

	t.Cleanup(s.Close)
	return s.URL
}
