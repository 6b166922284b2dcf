package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// frameConn carries the frames of one client, over a WebSocket or WebTransport. One goroutine reads, another writes.
type frameConn interface {
	// Meter sets the function that pays for arriving frames before they are handled, and reports whether the connection
	// stays up. Meter must be called once, before the first frame is read.
	Meter(pay func(frames int64) bool)

	// NextReader waits for the next frame, and returns a reader for it. The reader of a message that cannot be a frame
	// is empty.
	NextReader(ctx context.Context) (io.Reader, error)

	// SetReadLimit bounds the frames that arrive from now on, in bytes.
	SetReadLimit(n int64)

	Write(ctx context.Context, frame []byte) error

	// Ping returns an error if the client does not answer. Where the carrier itself checks that, Ping does nothing.
	Ping(ctx context.Context) error

	// Leave ends the connection once the client has got what was written, and waits a little for that.
	Leave()

	// CloseNow ends the connection at once.
	CloseNow() error
}

// accept accepts the connection that a request asks for, or answers the request and returns an error.
func accept(w http.ResponseWriter, r *http.Request) (frameConn, error) {
	if webtransport.Asks(r) {
		conn, err := webtransport.Accept(w, r)
		if err != nil {
			return nil, err
		}
		return &session{Conn: conn}, nil
	}
	return acceptWebSocket(w, r)
}

// webSocket is a frameConn.
type webSocket struct {
	*websocket.Conn
	arriving *meter
}

// acceptWebSocket accepts a WebSocket of our subprotocol.
func acceptWebSocket(w http.ResponseWriter, r *http.Request) (frameConn, error) {
	options := &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}, InsecureSkipVerify: true}
	arriving := new(meter)
	ws, err := websocket.Accept(metered{w, arriving}, r, options)
	if err != nil {
		return nil, err
	}

	if ws.Subprotocol() != signaling.Subprotocol {
		// Otherwise Close would wait for the client's answer, and read whatever arrives until then.
		arriving.pay = func(int64) bool { return false }
		ws.Close(websocket.StatusPolicyViolation, "want subprotocol "+signaling.Subprotocol)
		return nil, signaling.ErrFrame
	}

	return webSocket{ws, arriving}, nil
}

// Meter implements frameConn.
func (w webSocket) Meter(pay func(frames int64) bool) { w.arriving.pay = pay }

// NextReader implements frameConn.
func (w webSocket) NextReader(ctx context.Context) (io.Reader, error) {
	kind, r, err := w.Reader(ctx)
	if err == nil && kind != websocket.MessageBinary {
		return bytes.NewReader(nil), nil
	}
	return r, err
}

// Write implements frameConn.
func (w webSocket) Write(ctx context.Context, frame []byte) error {
	return w.Conn.Write(ctx, websocket.MessageBinary, frame)
}

// Leave implements frameConn. While it waits for the client to agree, it reads and discards the client's frames.
func (w webSocket) Leave() { w.Close(websocket.StatusGoingAway, "") }

// session is the frameConn of a WebTransport session. QUIC itself pings the client.
type session struct {
	*webtransport.Conn
	pay func(frames int64) bool
}

// Meter implements frameConn.
func (s *session) Meter(pay func(frames int64) bool) { s.pay = pay }

// NextReader implements frameConn. It answers the client's pings, which are empty messages.
func (s *session) NextReader(ctx context.Context) (io.Reader, error) {
	for {
		r, err := s.Conn.NextReader(ctx)
		switch {
		case errors.Is(err, webtransport.ErrPing):
		case err != nil:
			return nil, err
		}
		if !s.pay(1) {
			return nil, net.ErrClosed
		}
		if err == nil {
			return r, nil
		}

		writing, cancel := context.WithTimeout(ctx, writeTimeout)
		err = s.Write(writing, nil)
		cancel()
		if err != nil {
			return nil, err
		}
	}
}

// Ping implements frameConn.
func (s *session) Ping(context.Context) error { return nil }
