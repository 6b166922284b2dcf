package webtransport

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// maxMoves bounds how often a connection moves. Every move costs a socket that quic-go needs until the connection ends,
// and quic-go's servers ignore a third path within five seconds.
const maxMoves = 2

// errMoves is returned for a connection that has moved too often, is closed, or is a server's.
var errMoves = errors.New("this connection cannot move")

// path is the way of a client's packets to the server. The zero value is a server's, which has none.
type path struct {
	from, to *net.UDPAddr // from may be nil
	ordered  sync.Once    // see Conn.Move

	mu      sync.Mutex
	sockets []*quic.Transport // guarded by mu; the last one is in use
	current *quic.Path        // guarded by mu; nil before the first move
	closed  bool              // guarded by mu
}

// open opens a socket to the server, for a connection or to move there. It is closed with the others.
func (p *path) open() (*quic.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.to == nil || p.closed || len(p.sockets) > maxMoves {
		return nil, errMoves
	}
	conn, err := net.DialUDP("udp", p.from, p.to)
	if err != nil {
		return nil, err
	}
	socket := &quic.Transport{Conn: connected{conn}}
	p.sockets = append(p.sockets, socket)
	return socket, nil
}

// use notes the path that is in use from now on.
func (p *path) use(next *quic.Path) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.current != nil {
		_ = p.current.Close() // gives its connection ID back
	}
	p.current = next
}

func (p *path) close() {
	p.mu.Lock()
	sockets := p.sockets
	p.sockets, p.closed = nil, true
	p.mu.Unlock()

	for _, socket := range sockets {
		_ = socket.Close()
		_ = socket.Conn.Close()
	}
}

// Move takes a client's connection to the network that this device has now (RFC 9000, section 9), and returns once the
// server answers there. If it fails, the connection is of no use unless the old network still works.
func (c *Conn) Move(ctx context.Context) error {
	// Ordered after the call that HTTP/3 makes at the start, which would race with AddPath. Only before the first move,
	// because a later one would race with the switch of the one before.
	c.path.ordered.Do(func() { _ = c.quic.ConnectionState() })

	socket, err := c.path.open()
	if err != nil {
		return err
	}
	next, err := c.quic.AddPath(socket)
	if err != nil {
		return err
	}
	if err := next.Probe(ctx); err != nil {
		return err
	}
	if err := next.Switch(); err != nil {
		return err
	}
	c.path.use(next)
	return nil
}

// connected is a client's socket, connected to the server, so that the system reports when no server is there. It hides
// errors that may pass with a change of network, because quic-go ends a connection at the first error.
type connected struct{ udp *net.UDPConn }

// passing are the errors of networks that are gone, or not there yet.
var passing = []error{
	syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL,
	syscall.EINVAL, syscall.EPERM, syscall.ENOBUFS,
}

func passes(err error) bool {
	return slices.ContainsFunc(passing, func(one error) bool { return errors.Is(err, one) })
}

// WriteTo implements net.PacketConn.
func (c connected) WriteTo(p []byte, _ net.Addr) (int, error) {
	if _, err := c.udp.Write(p); err != nil && !passes(err) {
		return 0, err
	}
	return len(p), nil
}

// ReadFrom implements net.PacketConn.
func (c connected) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, err := c.udp.Read(p)
		if err == nil {
			return n, c.udp.RemoteAddr(), nil
		}
		if !passes(err) {
			return 0, nil, err
		}
	}
}

// Close implements net.PacketConn, like the methods below.
func (c connected) Close() error { return c.udp.Close() }

func (c connected) LocalAddr() net.Addr { return c.udp.LocalAddr() }

func (c connected) SetDeadline(t time.Time) error      { return c.udp.SetDeadline(t) }
func (c connected) SetReadDeadline(t time.Time) error  { return c.udp.SetReadDeadline(t) }
func (c connected) SetWriteDeadline(t time.Time) error { return c.udp.SetWriteDeadline(t) }

// SetReadBuffer and SetWriteBuffer do nothing, since signaling needs no large buffers. Without them, quic-go complains
// on standard error.
func (connected) SetReadBuffer(int) error { return nil }

func (connected) SetWriteBuffer(int) error { return nil }
