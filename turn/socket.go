package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// sockets is the server's UDP port, which may be several sockets of the kernel.
type sockets interface {
	// serve reads datagrams until stop, and returns once nothing reads any more.
	serve(*relay, *datagrams)
	// newOutlet returns an outlet for a reader other than the sockets' own.
	newOutlet() outlet
	// answer sends one message, from the address that the client had sent to.
	answer(p []byte, to netip.AddrPort, from netip.Addr) error
	// local returns the port's address.
	local() *net.UDPAddr
	// stop ends serve. Sending still works until free.
	stop()
	free()
}

// socketKind says which kernel features to leave out. Tests use it to cover every way to serve.
type socketKind struct {
	portable     bool // no system call that only Linux has
	noGRO, noGSO bool
	workers      int // 0: one per core
}

// plainSocket is one UDP socket, as Go's net package offers it on every system: a datagram per call.
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
	in := ingress{relay: r, requests: requests, out: s.newOutlet()}
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

		client := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		in.receive(p[:n], n, client, netip.Addr{})
		in.out.flush()
	}
}

func (s *plainSocket) newOutlet() outlet { return &plainOutlet{socket: s} }

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

// plainOutlet sends every datagram as soon as it gets it.
type plainOutlet struct {
	socket *plainSocket
	bundles
	first   [dataHeader]byte
	scratch [dataHeader + maxMessage + 3]byte
}

func (o *plainOutlet) head() *[dataHeader]byte {
	o.bundles.flush() // they may still use the only head there is
	return &o.first
}

func (o *plainOutlet) send(to *binding, m packet) {
	if to.stream != nil {
		o.bundles.collect(to.stream, m)
		return
	}

	p := append(append(append(o.scratch[:0], m.head...), m.body...), zeros[:m.pad]...)
	n := o.socket.counters
	if _, err := o.socket.conn.WriteToUDPAddrPort(p, to.to); err != nil {
		n.count(dropSend)
		return
	}
	n.countRelayed(1, m.payload)
}

var zeros [4]byte // padding
