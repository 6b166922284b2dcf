package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// sockets is the server's UDP port, which may be several sockets of the kernel's.
type sockets interface {
	// serve reads datagrams until stop, and returns once nothing is read any more.
	serve(*relay, *datagrams)
	// outlet returns one for a reader that is not the sockets' own.
	outlet() outlet
	// answer sends one message from the address that the client asked.
	answer(p []byte, to netip.AddrPort, from netip.Addr) error
	// local is the port's address.
	local() *net.UDPAddr
	// stop ends serve. Sending goes on until free.
	stop()
	free()
}

// socketKind says what to do without. A test uses it to have everything else tried too.
type socketKind struct {
	portable     bool // no system call that only Linux has
	noGRO, noGSO bool
	workers      int // 0: one for each core
}

// plainSocket is one UDP socket as Go's net package has it on every system: a datagram a call.
type plainSocket struct {
	conn     *net.UDPConn
	counters *counters
	closed   chan struct{}
	once     sync.Once
}

func newPlainSocket(conn *net.UDPConn, n *counters) *plainSocket {
	_, _ = conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer) // the kernel gives what it allows
	return &plainSocket{conn: conn, counters: n, closed: make(chan struct{})}
}

func (s *plainSocket) serve(r *relay, requests *datagrams) {
	in := ingress{relay: r, requests: requests, out: s.outlet()}
	p := make([]byte, maxMessage+1)
	var wait backoff
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(p)
		select {
		case <-s.closed:
			return
		default:
		}
		if err != nil {
			wait.after(s.closed)
			continue
		}
		in.datagrams(p[:n], n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.Addr{})
		in.out.flush()
	}
}

func (s *plainSocket) outlet() outlet { return &plainOutlet{socket: s} }

func (s *plainSocket) answer(p []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := s.conn.WriteToUDPAddrPort(p, to)
	return err
}

func (s *plainSocket) local() *net.UDPAddr { return s.conn.LocalAddr().(*net.UDPAddr) }

func (s *plainSocket) stop() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	})
}

func (s *plainSocket) free() { _ = s.conn.Close() }

// plainOutlet sends every message at once.
type plainOutlet struct {
	socket *plainSocket
	bundles
	first   [dataHeader]byte
	scratch [dataHeader + maxMessage + 3]byte
}

func (o *plainOutlet) head() *[dataHeader]byte {
	o.bundles.flush() // which may hold the one head that there is
	return &o.first
}

func (o *plainOutlet) send(to *binding, m packet) {
	if to.stream != nil {
		o.bundles.add(to.stream, m)
		return
	}
	p := append(append(append(o.scratch[:0], m.head...), m.body...), zeros[:m.pad]...)
	n := o.socket.counters
	if _, err := o.socket.conn.WriteToUDPAddrPort(p, to.to); err != nil {
		n.count(dropSend)
		return
	}
	n.relayed(1, m.payload)
}

var zeros [4]byte // padding

// relayed counts what was sent.
func (c *counters) relayed(packets, bytes int) {
	c.packets.Add(uint64(packets))
	c.bytes.Add(uint64(bytes))
}
