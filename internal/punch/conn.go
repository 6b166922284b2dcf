package punch

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v3"
)

// Conn is a socket of an ICE agent. What it sends to the address that a hole leads to goes by the hole, and what comes by the hole comes
// from that address. Until there is a hole it is the UDP socket that it was made of. One goroutine reads it; ReadFrom, ReadFromAddrPort,
// WriteTo and WriteToAddrPort are to be used, not the other methods of net.UDPConn that read and write.
type Conn struct {
	*net.UDPConn
	sockets *Sockets
	closed  chan struct{}
	once    sync.Once
	hole    atomic.Pointer[hole]

	mu      sync.Mutex
	waiting map[[stun.TransactionIDSize]byte]chan netip.AddrPort // guarded by mu; for a mapped address
	run     chan arrival                                         // guarded by mu; nil: no run, what comes of this package's is dropped
}

// arrival is a packet of this package's.
type arrival struct {
	packet []byte
	from   netip.AddrPort
	at     *net.UDPConn
}

// hole is a second socket, behind which one peer is.
type hole struct {
	conn    *net.UDPConn
	peer    netip.AddrPort
	packets chan packet // of both sockets
	began   sync.Once
	readers sync.WaitGroup
}

type packet struct {
	data []byte
	from netip.AddrPort
}

const (
	maxPacket  = 8192 // as pion reads
	maxWaiting = 64   // packets between the sockets' readers and the agent; the kernel keeps the others, and drops
)

// LocalAddrPort is the socket's own address.
func (c *Conn) LocalAddrPort() netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromAddrPort is ReadFrom as pion likes it best.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if h := c.hole.Load(); h != nil {
			n, from, err := h.read(c, b)
			if err != nil || !c.take(b[:n], from) {
				return n, from, err
			}
			continue
		}
		n, from, err := c.UDPConn.ReadFromUDPAddrPort(b)
		if err != nil && c.hole.Load() != nil {
			continue // it was woken up
		}
		if err != nil || !c.take(b[:n], from) {
			return n, from, err
		}
	}
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); ok {
		return c.WriteToAddrPort(b, a.AddrPort())
	}
	return c.UDPConn.WriteTo(b, to)
}

// WriteToAddrPort is WriteTo as pion likes it best.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if h := c.hole.Load(); h != nil && h.peer == to {
		return h.conn.WriteToUDPAddrPort(b, to)
	}
	return c.UDPConn.WriteToUDPAddrPort(b, to)
}

// Close closes the hole too.
func (c *Conn) Close() error {
	var err error
	c.once.Do(func() {
		c.sockets.remove(c)
		close(c.closed)
		err = c.UDPConn.Close()
		c.mu.Lock() // no hole is opened any more
		h := c.hole.Load()
		c.mu.Unlock()
		if h != nil {
			h.conn.Close()
			h.readers.Wait()
		}
	})
	return err
}

// open makes a hole of a socket, which the Conn closes from then on. It reports false, and leaves the socket alone, when the Conn is closed or
// has one.
func (c *Conn) open(conn *net.UDPConn, peer netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
		return false
	default:
	}
	h := &hole{conn: conn, peer: peer, packets: make(chan packet, maxWaiting)}
	if !c.hole.CompareAndSwap(nil, h) {
		return false
	}
	h.readers.Go(func() { h.pump(c, conn) })
	_ = c.UDPConn.SetReadDeadline(time.Now()) // wakes the reader up, which sees the hole
	return true
}

// read is the agent's, of what comes to both sockets.
func (h *hole) read(c *Conn, b []byte) (int, netip.AddrPort, error) {
	h.began.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		select {
		case <-c.closed:
		default:
			_ = c.UDPConn.SetReadDeadline(time.Time{})
			h.readers.Go(func() { h.pump(c, c.UDPConn) })
		}
	})
	select {
	case p := <-h.packets:
		return copy(b, p.data), p.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// pump hands on what comes to one of them, until that is closed. By the hole comes what the peer sends and nothing else.
func (h *hole) pump(c *Conn, conn *net.UDPConn) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if conn == h.conn && from != h.peer {
			continue
		}
		select {
		case h.packets <- packet{bytes.Clone(b[:n]), from}:
		case <-c.closed:
			return
		}
	}
}

// take keeps from the agent what is this package's.
func (c *Conn) take(b []byte, from netip.AddrPort) bool {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if ours(b) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.run != nil {
			at := c.UDPConn
			if h := c.hole.Load(); h != nil && h.peer == from {
				at = h.conn
			}
			hand(c.run, arrival{bytes.Clone(b), from, at})
		}
		return true
	}
	if len(b) < 2 || b[0] != 1 || b[1] != 1 { // Binding success response
		return false
	}
	return c.bound(b)
}

// hand gives a run what came, unless it has more than it can take already.
func hand(to chan arrival, a arrival) {
	select {
	case to <- a:
	default:
	}
}

// bound takes the answer to a Binding request of this package's.
func (c *Conn) bound(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return false
	}
	m := &stun.Message{Raw: bytes.Clone(b)}
	if m.Decode() != nil {
		return false
	}
	got := c.waiting[m.TransactionID]
	if got == nil {
		return false
	}
	delete(c.waiting, m.TransactionID)
	var mapped stun.XORMappedAddress
	if mapped.GetFrom(m) == nil {
		if ip, ok := netip.AddrFromSlice(mapped.IP); ok {
			got <- netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port))
		}
	}
	return true
}
