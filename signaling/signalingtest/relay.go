// Package signalingtest stands in a relay's place for tests of whoever talks to one: a relay that says what it likes.
package signalingtest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

// Conn is a client's connection, seen from the relay.
type Conn struct {
	ws *websocket.Conn
	r  *http.Request
}

// Read waits for the client's next frame.
func (c Conn) Read() (signaling.Frame, error) {
	_, b, err := c.ws.Read(c.r.Context())
	if err != nil {
		return nil, err
	}
	return signaling.Parse(b)
}

// Say sends a frame, true or not; false once the connection has ended.
func (c Conn) Say(f signaling.Frame) bool {
	return c.ws.Write(c.r.Context(), websocket.MessageBinary, signaling.Append(nil, f)) == nil
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
		relay(Conn{ws, r})
	}))
	t.Cleanup(s.Close)
	return s.URL
}
