package webtransport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

var (
	// ErrTooLong is returned for a message that is longer than the read limit.
	ErrTooLong = errors.New("a WebTransport message is too long")
	// ErrPing is returned at a server for a client's ping. The server must answer with an empty message.
	ErrPing = errors.New("a client's ping")
)

// defaultReadLimit holds until SetReadLimit is called.
const defaultReadLimit = 4 << 10

// leaveTimeout is how long Leave waits for the other end.
const leaveTimeout = 2 * time.Second

// stream is one end of a session's stream.
type stream interface {
	io.ReadWriteCloser // Close ends writing alone
	CancelRead()
	CancelWrite()
}

// Conn is one end of a connection. One goroutine may read from it, and several may write.
type Conn struct {
	quic   *quic.Conn
	stream stream
	in     messages      // of the stream
	pongs  chan struct{} // holds one token when a ping was answered; nil at a server
	path   path          // a client's

	writing chan struct{} // holds one token while somebody writes
	prefix  []byte        // owned by who writes; precedes the first message of a server
}

// begin makes the connection speak on a stream.
func (c *Conn) begin(on stream) {
	c.stream, c.in.from = on, on
	c.writing = make(chan struct{}, 1)
	c.in.limit.Store(defaultReadLimit)
}

// SetReadLimit bounds the messages that arrive from now on, in bytes.
func (c *Conn) SetReadLimit(n int64) { c.in.limit.Store(n) }

// NextReader waits for the next message, and returns a reader of it, which is valid until the next call. It returns
// ErrTooLong for a message that exceeds the read limit, and ErrPing at a server. When ctx ends, the connection cannot
// be read any more.
func (c *Conn) NextReader(ctx context.Context) (io.Reader, error) {
	defer context.AfterFunc(ctx, c.stream.CancelRead)()
	for {
		length, err := c.in.next()
		switch {
		case err != nil:
			return nil, c.lost(err)
		case length > 0:
			return message{c, ctx}, nil
		case c.pongs == nil:
			return nil, ErrPing
		}

		select {
		case c.pongs <- struct{}{}:
		default:
		}
	}
}

// message reads the message under way until ctx ends.
type message struct {
	*Conn
	ctx context.Context
}

// Read returns io.EOF at the end of the message, and another error if the connection ends before.
func (m message) Read(p []byte) (int, error) {
	defer context.AfterFunc(m.ctx, m.stream.CancelRead)()
	n, err := m.in.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", err, m.lost(err))
	}
	return n, err
}

// Read waits for the next message and returns it whole.
func (c *Conn) Read(ctx context.Context) ([]byte, error) {
	r, err := c.NextReader(ctx)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Write sends a message. When ctx ends before it is sent, the connection is of no use any more.
func (c *Conn) Write(ctx context.Context, message []byte) error {
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}

	defer context.AfterFunc(ctx, c.stream.CancelWrite)()
	framed := binary.BigEndian.AppendUint32(c.prefix, uint32(len(message)))
	c.prefix = nil
	if _, err := c.stream.Write(append(framed, message...)); err != nil {
		return c.lost(err)
	}
	return nil
}

// Ping sends a client's ping, and waits until the server has answered. Somebody must be reading from the connection.
func (c *Conn) Ping(ctx context.Context) error {
	select {
	case <-c.pongs: // of a ping that was given up
	default:
	}
	if err := c.Write(ctx, nil); err != nil {
		return err
	}

	select {
	case <-c.pongs:
		return nil
	case <-c.quic.Context().Done():
		return c.lost(context.Cause(c.quic.Context()))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave ends the connection after what was written. It reads nothing more, and waits a little for the other end to
// close the connection.
func (c *Conn) Leave() {
	defer c.CloseNow()
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case c.writing <- struct{}{}: // for good
	case <-timer.C:
		return
	}

	if c.stream.Close() != nil {
		return
	}
	select {
	case <-c.quic.Context().Done():
	case <-timer.C:
	}
}

// CloseNow ends the connection at once. What was written may not arrive.
func (c *Conn) CloseNow() error {
	var err error
	if c.quic != nil {
		err = c.quic.CloseWithError(0, "")
	}
	c.path.close()
	return err
}

// lost returns why reading or writing failed: io.EOF if the other end closed the connection, net.ErrClosed if this one
// did.
func (c *Conn) lost(err error) error {
	var app *quic.ApplicationError
	if errors.Is(err, ErrTooLong) {
		return err
	}
	if cause := context.Cause(c.quic.Context()); cause != nil {
		err = cause
	}

	switch {
	case errors.As(err, &app) && app.Remote, errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &app):
		return net.ErrClosed
	}
	return err
}
