package bulk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// ErrBroken is returned if the connection has ended, or if nothing came for too long: with a new session, a transfer
// goes on where it was.
var ErrBroken = errors.New("the connection broke: connect again")

const (
	maxStreams    = 4 // at a time
	maxHandshakes = 4 // at a time, at a camera: somebody on the path can begin what nobody finishes

	keepAlive   = 5 * time.Second
	idleTimeout = 15 * time.Second

	// stall is how long a block, or whatever else is awaited, may take. A block needs 8 s at the lowest rate, and 33 s
	// if four streams share it.
	stall = time.Minute

	requestTimeout = 10 * time.Second
)

// The receive windows, in bytes. A viewer's allow 100 Mbit/s at a round trip of 300 ms, 3.75 MB, with room for quic-go
// to announce new ones in time. A camera's hold a request for each stream. What a camera has sent and not had
// acknowledged is bounded by the viewer's windows; if a viewer lies about those, by quic-go's 10,000 packets.
const (
	viewerInitialWindow = 1 << 20
	viewerWindow        = 8 << 20
	cameraStreamWindow  = 2 << 10
	cameraWindow        = maxStreams * cameraStreamWindow
)

// The application error codes of QUIC.
const (
	goodbye         quic.ApplicationErrorCode = 0
	streamGivenUp   quic.StreamErrorCode      = 1 // the viewer does not want the rest
	streamFailed    quic.StreamErrorCode      = 2 // the camera cannot send the rest
	streamMalformed quic.StreamErrorCode      = 3 // the request is malformed, or did not come in time
	streamInterrupt quic.StreamErrorCode      = 4 // the session ends
)

// Conn is the one QUIC connection of a session. A viewer calls List and Fetch, several at a time if it likes; a camera
// calls Serve, once.
type Conn struct {
	quic      *quic.Conn
	transport *quic.Transport
	pace      *pace
}

// Dial makes a viewer's connection. path.ReadFrom must return only the other end's packets, path.WriteTo must ignore
// the address, and path must honour SetReadDeadline. Neither Dial nor Conn.Close closes path; once Close has returned,
// path can be used for something else. Even if the camera refuses own, Dial may succeed; the first request then fails.
// Errors: ErrCertificate, ErrBroken, ctx's own.
func Dial(ctx context.Context, path net.PacketConn, own Certificate, other Hash) (*Conn, error) {
	t := &quic.Transport{Conn: onePeer{path}}
	q, err := t.Dial(ctx, otherEnd{}, own.tlsConfig(other, nil), viewerConfig())
	if err != nil {
		_ = t.Close() // has no error of its own
		return nil, fmt.Errorf("connect to camera: %w", explain(ctx, err))
	}
	return newConn(t, q), nil
}

// Accept waits for a viewer's connection; Dial says what path must do. It turns away anyone with the wrong certificate
// and goes on waiting. If ctx ends after that happened, the error wraps both ErrCertificate and ctx's own.
func Accept(ctx context.Context, path net.PacketConn, own Certificate, other Hash) (*Conn, error) {
	var rejected atomic.Bool
	t := &quic.Transport{
		Conn:                             onePeer{path},
		DisableVersionNegotiationPackets: true,
		ConnContext:                      atMost(maxHandshakes),
	}
	l, err := t.Listen(own.tlsConfig(other, func() { rejected.Store(true) }), cameraConfig())
	if err != nil {
		_ = t.Close() // has no error of its own
		return nil, fmt.Errorf("wait for viewer: %w", explain(ctx, err))
	}

	q, err := l.Accept(ctx)
	if err == nil {
		err = l.Close() // there is one connection; handshakes under way end
	}
	if err != nil {
		_ = t.Close() // has no error of its own
		err = explain(ctx, err)
		if rejected.Load() {
			err = fmt.Errorf("%w (%w)", ErrCertificate, err)
		}
		return nil, fmt.Errorf("wait for viewer: %w", err)
	}
	return newConn(t, q), nil
}

func newConn(t *quic.Transport, q *quic.Conn) *Conn {
	return &Conn{quic: q, transport: t, pace: newPace()}
}

// Close says goodbye and ends everything that goes on. It waits until nothing reads from the path any more.
func (c *Conn) Close() {
	_ = c.quic.CloseWithError(goodbye, "") // has no error
	_ = c.transport.Close()                // has no error of its own
}

// config returns what both ends have in common.
func config() *quic.Config {
	return &quic.Config{
		Versions:              []quic.Version{quic.Version1},
		MaxIdleTimeout:        idleTimeout,
		KeepAlivePeriod:       keepAlive,
		MaxIncomingUniStreams: -1,
	}
}

func viewerConfig() *quic.Config {
	c := config()
	c.MaxIncomingStreams = -1
	c.InitialStreamReceiveWindow = viewerInitialWindow
	c.InitialConnectionReceiveWindow = viewerInitialWindow
	c.MaxStreamReceiveWindow = viewerWindow
	c.MaxConnectionReceiveWindow = viewerWindow
	return c
}

func cameraConfig() *quic.Config {
	c := config()
	c.MaxIncomingStreams = maxStreams
	c.InitialStreamReceiveWindow = cameraStreamWindow
	c.MaxStreamReceiveWindow = cameraStreamWindow
	c.InitialConnectionReceiveWindow = cameraWindow
	c.MaxConnectionReceiveWindow = cameraWindow
	return c
}

// atMost lets n connections exist at a time.
func atMost(n int64) func(context.Context, *quic.ClientInfo) (context.Context, error) {
	var begun atomic.Int64
	return func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
		if begun.Add(1) > n {
			begun.Add(-1)
			return nil, errors.New("too many handshakes")
		}
		context.AfterFunc(ctx, func() { begun.Add(-1) })
		return ctx, nil
	}
}

// explain returns what an error of quic-go means to the caller. Those of this package stay as they are. The other end's
// own words are left out: they may be anything.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	transport, isTransport := errors.AsType[*quic.TransportError](err)
	application, isApplication := errors.AsType[*quic.ApplicationError](err)
	stream, isStream := errors.AsType[*quic.StreamError](err)
	netError, isNet := errors.AsType[net.Error](err)

	switch {
	case errors.Is(err, ErrCertificate):
		return err
	case isTransport && transport.Remote && transport.ErrorCode.IsCryptoError():
		return fmt.Errorf("%w (%s)", ErrCertificate, transport.ErrorCode)
	case isTransport && transport.Remote:
		return fmt.Errorf("%w (%s)", ErrBroken, transport.ErrorCode)
	case isApplication && application.Remote:
		return fmt.Errorf("%w (code %#x)", ErrBroken, uint64(application.ErrorCode))
	case isStream && stream.Remote && stream.ErrorCode == streamFailed:
		return ErrFailed
	case isStream && stream.Remote && stream.ErrorCode == streamInterrupt:
		return ErrBroken
	case isStream && stream.Remote:
		return fmt.Errorf("%w (%w)", ErrMalformed, err)
	case errors.Is(err, net.ErrClosed), isNet && netError.Timeout():
		return fmt.Errorf("%w (%w)", ErrBroken, err)
	}
	return err
}

// saidGoodbye reports whether err is the orderly end of a connection, by either end.
func saidGoodbye(err error) bool {
	application, ok := errors.AsType[*quic.ApplicationError](err)
	return ok && application.ErrorCode == goodbye || errors.Is(err, quic.ErrTransportClosed)
}
