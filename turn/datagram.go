package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/netlimit"
)

// maxWaiting bounds how many requests wait for pion, which handles them one by one: that many of clients with an
// allocation, and as many of those without.
const maxWaiting = 1024

// datagram is a request that came over UDP, or a packet that waits for one.
type datagram struct {
	by    *allocation // the client's; nil: it has none
	from  netip.AddrPort
	local netip.Addr // where it was sent to; invalid where the socket knows it
	n     int
	data  [maxMessage]byte
}

// datagrams is the UDP port as pion sees it, which is shown nothing but requests. It is a net.PacketConn.
type datagrams struct {
	sockets       sockets
	relay         *relay
	realm         string
	amplification *meter
	counters      *counters
	clients       chan *datagram // requests of clients with an allocation, and the packets that wait for these
	strangers     chan *datagram // requests of all others; pion gets one when no client waits
	out           outlet         // of pion's read loop; nil until a packet has waited for a request
	pool          sync.Pool
	current       request
	at            *datagram     // that holds the current request; nil before the first
	closed        chan struct{} // closed by Close
	ended         chan struct{} // closed once pion's read loop knows of it
	served        chan struct{} // closed once nothing reads any more
}

func newDatagrams(s sockets, r *relay, realm string, amplification *meter) *datagrams {
	return &datagrams{
		sockets:       s,
		relay:         r,
		realm:         realm,
		amplification: amplification,
		counters:      r.counters,
		clients:       make(chan *datagram, maxWaiting),
		strangers:     make(chan *datagram, maxWaiting),
		pool:          sync.Pool{New: func() any { return new(datagram) }},
		closed:        make(chan struct{}),
		ended:         make(chan struct{}),
		served:        make(chan struct{}),
	}
}

// serve reads from the sockets until Close.
func (d *datagrams) serve() {
	d.sockets.serve(d.relay, d)
	close(d.served)
}

// handUp queues a message for pion, if it may be a request; or a packet that cannot be relayed yet. A nil allocation
// means that the client has none. out is the reader's outlet.
func (d *datagrams) handUp(a *allocation, p []byte, from netip.AddrPort, local netip.Addr, out outlet) {
	class, _ := stunClass(p)
	switch {
	case len(p) > maxMessage:
		d.counters.count(dropTooBig)
		return
	case a != nil && relayable(p):
		d.enqueuePacket(a, p, from, local, out)
		return
	case !stunWhole(p) || class != stun.ClassRequest && class != stun.ClassIndication:
		d.counters.count(dropMalformed)
		return
	case class == stun.ClassIndication: // such as Binding, with which a client keeps its NAT's mapping alive
		return
	}

	if why, ok := d.tooCostly(a, p, from); ok {
		d.counters.count(why)
		return
	}

	if a != nil {
		a.pending.requests.Add(1)
	}
	if !d.enqueue(a, p, from, local) && a != nil {
		a.pending.requests.Add(-1)
	}
}

// tooCostly reports whether a request should be dropped, and why: we could not send the answer, or there are too many
// requests.
func (d *datagrams) tooCostly(a *allocation, p []byte, from netip.AddrPort) (reason, bool) {
	now := time.Now()
	if !hasIntegrity(p) && !d.amplification.canSpend(from.Addr(), len(p), amplificationReserve, now) {
		return dropUnproved, true
	}
	return dropRequestRate, !d.relay.requests.allow(a, from.Addr().Unmap(), now)
}

// enqueue queues a message for pion's read loop. It reports whether there was room; if not, it counts the drop.
func (d *datagrams) enqueue(a *allocation, p []byte, from netip.AddrPort, local netip.Addr) bool {
	line := d.strangers
	if a != nil {
		line = d.clients
	}

	m := d.pool.Get().(*datagram)
	m.by, m.from, m.local, m.n = a, from, local, copy(m.data[:], p)
	select {
	case line <- m:
		return true
	default:
		d.recycle(m)
		d.counters.count(dropRequests)
		return false
	}
}

// recycle returns a message to the pool, which must not hold on to its allocation.
func (d *datagrams) recycle(m *datagram) {
	m.by = nil
	d.pool.Put(m)
}

// finishRequest is called when pion is done with a request.
func (d *datagrams) finishRequest(m *datagram) {
	if m.by != nil {
		m.by.pending.requests.Add(-1)
	}
	d.recycle(m)
}

// ReadFrom returns the next message for pion. It relays the packets that have waited for the requests before it. It
// returns an error only after Close, since any error ends pion's read loop.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	if d.at != nil {
		d.finishRequest(d.at)
		d.at = nil
	}

	for {
		m := d.nextDatagram()
		switch {
		case m == nil:
			close(d.ended)
			return 0, nil, net.ErrClosed
		case relayable(m.data[:m.n]):
			d.forwardPending(m)
			d.recycle(m)
		case d.current.inspect(m.data[:m.n], d.allocation(m.from) != nil):
			d.at = m
			return copy(p, m.data[:m.n]), net.UDPAddrFromAddrPort(m.from), nil
		default:
			d.finishRequest(m)
			d.counters.count(dropMalformed)
		}
	}
}

// nextDatagram waits for a message and returns it, those of clients with an allocation first; nil after Close.
func (d *datagrams) nextDatagram() *datagram {
	select {
	case <-d.closed:
		return nil
	case m := <-d.clients:
		return m
	default:
	}

	select {
	case <-d.closed:
		return nil
	case m := <-d.clients:
		return m
	case m := <-d.strangers:
		return m
	}
}

// WriteTo sends p, the answer to the current request: pion has nothing else to send.
func (d *datagrams) WriteTo(p []byte, _ net.Addr) (int, error) {
	d.current.undoReservation()
	if d.at == nil {
		return 0, net.ErrClosed
	}

	out := d.current.answer(p, d.realm)
	if !d.mayAnswer(out, d.at.from) {
		d.counters.count(dropUnproved)
		return len(p), nil
	}
	if err := d.sockets.answer(out, d.at.from, d.at.local); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mayAnswer reports whether the answer to the current request may be sent. It always may be if the client has shown a
// password.
func (d *datagrams) mayAnswer(answer []byte, to netip.AddrPort) bool {
	size := len(answer)
	if d.current.key != nil {
		size = 0
	}
	return d.amplification.spend(to.Addr(), d.current.size, size, time.Now())
}

func (d *datagrams) Close() error {
	select {
	case <-d.closed:
		return nil
	default:
	}

	close(d.closed)
	d.sockets.stop()
	return nil
}

// LocalAddr returns the port's address: pion sees all sockets as one.
func (d *datagrams) LocalAddr() net.Addr { return d.sockets.local() }

// SetDeadline does nothing; pion sets none.
func (d *datagrams) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (d *datagrams) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (d *datagrams) SetWriteDeadline(time.Time) error { return nil }

func (d *datagrams) request(netip.AddrPort) *request { return &d.current }

func (d *datagrams) allocation(client netip.AddrPort) *allocation {
	return d.relay.clients.lookup(client)
}

func (d *datagrams) setReturnPath(b *binding) {
	if d.at != nil {
		b.to, b.local = d.at.from, d.at.local
	}
}

func (d *datagrams) admit(netip.AddrPort, netlimit.Payer) error { return nil }

func (d *datagrams) setAllocated(netip.AddrPort, bool) {}

func (d *datagrams) done() <-chan struct{} { return d.ended }

func (d *datagrams) wait() {
	<-d.ended
	<-d.served
}
