package p2p

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
)

// signalingProtocol is what the one stream of a connection speaks: HTTP, upgraded to signaling's WebSocket.
const signalingProtocol = "/peephole/signaling/1"

// The ways that a connection takes.
const (
	CarrierLAN     = "lan"
	CarrierCircuit = "circuit"
)

// linger is how long a closed connection waits for the other end to have read what was written.
const linger = time.Second

// Conn is a connection between two host keys, which both ends have proved. It is a net.Conn.
type Conn struct {
	stream  network.MuxedStream
	conn    transport.CapableConn
	remote  net.Addr
	carrier string
	camera  peer.ID
	caller  peer.ID
	seen    netip.Addr // by a circuit relay, at a viewer
	slot    *slot      // nil at a viewer
	free    func()     // frees what the connection alone uses; called once it has ended

	reading sync.Mutex // held while reading: two readers of a stream would miss each other's news
	writing sync.Mutex // held while writing
	closed  atomic.Bool
	ended   chan struct{} // closed when everything has ended
}

// Origin names the two ends of this connection, as both see it, and no other connection: the caller signs it, so that
// nobody in the middle can use the signature elsewhere.
func (c *Conn) Origin() string { return "p2p:" + c.camera.String() + "/" + c.caller.String() }

// Carrier returns the way that the connection takes: CarrierLAN or CarrierCircuit.
func (c *Conn) Carrier() string { return c.carrier }

// SeenAs returns the IP address by which a circuit relay says that it sees this end. It returns the zero Addr if the
// relay does not say (ours does not), and at a camera, which has Config.OnSeen.
func (c *Conn) SeenAs() netip.Addr { return c.seen }

// Proven tells a camera's Listener that the caller has proved to be somebody. Only then may the connection last; see
// the package comment. At a viewer it does nothing.
func (c *Conn) Proven() {
	if c.slot != nil {
		c.slot.prove()
	}
}

// Read reads what the other end wrote.
func (c *Conn) Read(b []byte) (n int, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err = c.stream.Read(b)
	return n, c.explain(err)
}

// Write writes to the other end.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err = c.stream.Write(b)
	return n, c.explain(err)
}

// explain makes an error of a connection that this end has closed unwrap to net.ErrClosed.
func (c *Conn) explain(err error) error {
	if err != nil && c.closed.Load() {
		return fmt.Errorf("%w: %w", net.ErrClosed, err)
	}
	return err
}

// Close ends the connection. It does not wait: what was written still reaches an end that reads on, for a second.
// Whoever reads or writes at this end gets an error.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if !c.writing.TryLock() { // a stream must not be closed while it is written to
		c.end()
		return nil
	}
	defer c.writing.Unlock()

	if c.stream.CloseWrite() != nil || c.stream.SetReadDeadline(time.Now()) != nil { // which ends a Read that waits
		c.end()
		return nil
	}
	go c.drain()
	return nil
}

// drain waits until the other end has read everything and closed too.
func (c *Conn) drain() {
	defer c.end()
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.stream.SetReadDeadline(time.Now().Add(linger)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c.stream)
}

func (c *Conn) end() {
	_ = c.stream.Reset()
	_ = c.conn.Close()
	if c.free != nil {
		c.free()
	}
	close(c.ended)
}

// LocalAddr returns this end's address. It has no meaning for a circuit.
func (c *Conn) LocalAddr() net.Addr { return addressOf(c.conn.LocalMultiaddr()) }

// RemoteAddr returns the other end's address. On the LAN its string is an IP address and a port; for a circuit, whose
// other end has no address here, it is one that does not parse as such.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadlines of reading and writing.
func (c *Conn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline sets the deadline of reading.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }
