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

// Conn is a socket of an ICE agent. It behaves like the UDP socket that it wraps until a hole is found. From then on,
// packets to the peer behind the hole leave through the hole, and packets that arrive through it come from that peer.
//
// Only one goroutine may read. Use ReadFrom, ReadFromAddrPort, WriteTo and WriteToAddrPort, not the other methods of
// net.UDPConn that read and write.
type Conn struct {
	*net.UDPConn
	sockets *Sockets
	closed  chan struct{}
	once    sync.Once
	hole    atomic.Pointer[hole]

	mu      sync.Mutex
	waiting map[[stun.TransactionIDSize]byte]chan netip.AddrPort // guarded by mu; for a mapped address
	run     chan arrival                                         // guarded by mu; where probes go; nil drops them
}

// arrival is a probe or an answer, as [ours] knows them.
type arrival struct {
	packet []byte
	from   netip.AddrPort
	at     *net.UDPConn
}

// hole is a second socket, through which one peer can be reached.
type hole struct {
	conn    *net.UDPConn
	peer    netip.AddrPort
	packets chan packet // what arrives at either socket
	began   sync.Once
	readers sync.WaitGroup
}

type packet struct {
	data []byte
	from netip.AddrPort
}

const (
	maxPacket  = 8192 // the size of pion's read buffer
	maxWaiting = 64   // packets between the sockets' readers and the agent; the kernel queues the others, and drops
)

// LocalAddrPort returns the socket's own address.
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

// ReadFromAddrPort is like ReadFrom; pion uses it where a connection has it.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if h := c.hole.Load(); h != nil {
			n, from, err := h.read(c, b)
			if err != nil || !c.intercept(b[:n], from) {
				return n, from, err
			}
			continue
		}

		n, from, err := c.UDPConn.ReadFromUDPAddrPort(b)
		if err != nil && c.hole.Load() != nil {
			continue // openHole woke this reader up
		}
		if err != nil || !c.intercept(b[:n], from) {
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

// WriteToAddrPort is like WriteTo; pion uses it where a connection has it.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if h := c.hole.Load(); h != nil && h.peer == to {
		return h.conn.WriteToUDPAddrPort(b, to)
	}
	return c.UDPConn.WriteToUDPAddrPort(b, to)
}

// Close closes the socket and its hole.
func (c *Conn) Close() error {
	var err error
	c.once.Do(func() {
		c.sockets.remove(c)
		close(c.closed)
		err = c.UDPConn.Close()

		c.mu.Lock() // after this, openHole opens none
		h := c.hole.Load()
		c.mu.Unlock()
		if h != nil {
			h.conn.Close()
			h.readers.Wait()
		}
	})

	return err
}

// openHole turns a socket into the hole to a peer, and takes the socket over. It returns false, and leaves the socket
// alone, if the Conn is closed or has a hole already.
func (c *Conn) openHole(conn *net.UDPConn, peer netip.AddrPort) bool {
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
	_ = c.UDPConn.SetReadDeadline(time.Now()) // wakes up the reader, which then finds the hole
	return true
}

// read returns the next packet that arrived at either socket, for the agent.
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

// pump queues what arrives at one of the two sockets until it is closed. Through the hole, only the peer gets in.
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

// intercept reports whether a packet belongs to this package, and then handles it; the agent must not see it.
func (c *Conn) intercept(b []byte, from netip.AddrPort) bool {
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

// hand passes a packet to a run, or drops it if the run has a full queue.
func hand(to chan arrival, a arrival) {
	select {
	case to <- a:
	default:
	}
}

// bound handles the answer to a Binding request that bind sent, and reports whether it was one.
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
