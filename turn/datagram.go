package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// waitingRequests bounds how many requests wait for pion, which takes them one by one.
const waitingRequests = 1024

// datagram is a request that came over UDP, or a packet that waits behind one.
type datagram struct {
	by    *allocation // the client's; nil: it has none
	from  netip.AddrPort
	local netip.Addr // where it was sent to; invalid where the socket knows it
	n     int
	data  [maxMessage]byte
}

// datagrams is the UDP port as pion reads and writes it: of all that arrives it is shown the requests.
type datagrams struct {
	sockets  sockets
	relay    *relay
	realm    string
	credit   *credit
	counters *counters
	requests chan *datagram
	out      outlet // of pion's read loop, once a packet has waited behind a request
	pool     sync.Pool
	current  request
	at       *datagram     // the current request, once there is one
	closed   chan struct{} // closed by Close
	ended    chan struct{} // closed when pion's read loop has been told so
	served   chan struct{} // closed when nothing is read any more
}

func newDatagrams(s sockets, r *relay, realm string, credit *credit) *datagrams {
	return &datagrams{
		sockets:  s,
		relay:    r,
		realm:    realm,
		credit:   credit,
		counters: r.counters,
		requests: make(chan *datagram, waitingRequests),
		pool:     sync.Pool{New: func() any { return new(datagram) }},
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
		served:   make(chan struct{}),
	}
}

// serve reads from the sockets until Close.
func (d *datagrams) serve() {
	d.sockets.serve(d.relay, d)
	close(d.served)
}

// take hands a message up that is not to be relayed, if it may be a request, or not yet. A nil allocation is that of a client that has none.
func (d *datagrams) take(a *allocation, p []byte, from netip.AddrPort, local netip.Addr) {
	class, _ := stunClass(p)
	switch {
	case a != nil && relayable(p):
		d.follow(a, p, from, local)
		return
	case len(p) > maxMessage:
		d.counters.count(dropTooBig)
		return
	case !stunWhole(p) || class != stun.ClassRequest && class != stun.ClassIndication:
		d.counters.count(dropMalformed)
		return
	case class == stun.ClassIndication: // such as Binding, by which a client keeps its NAT's mapping
		return
	case !claims(p) && d.credit.spent(from.Addr(), time.Now()): // it would not be answered: it shall cost no more than this
		d.counters.count(dropUnproved)
		return
	}
	if a != nil {
		a.behind.requests.Add(1)
	}
	if !d.queue(a, p, from, local) && a != nil {
		a.behind.requests.Add(-1)
	}
}

// queue says whether there was room for a message.
func (d *datagrams) queue(a *allocation, p []byte, from netip.AddrPort, local netip.Addr) bool {
	m := d.pool.Get().(*datagram)
	m.by, m.from, m.local, m.n = a, from, local, copy(m.data[:], p)
	select {
	case d.requests <- m:
		return true
	default:
		d.put(m)
		d.counters.count(dropRequests)
		return false
	}
}

// put takes a message back that is done with. A pool holds on to no allocation.
func (d *datagrams) put(m *datagram) {
	m.by = nil
	d.pool.Put(m)
}

// done is told that pion is done with a request.
func (d *datagrams) done(m *datagram) {
	if m.by != nil {
		m.by.behind.requests.Add(-1)
	}
	d.put(m)
}

// ReadFrom returns the next message that pion shall see, and an error only after Close: pion's read loop ends at any.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	if d.at != nil {
		d.done(d.at)
		d.at = nil
	}
	for {
		select {
		case <-d.closed:
			close(d.ended)
			return 0, nil, net.ErrClosed
		case m := <-d.requests:
			if relayable(m.data[:m.n]) {
				d.overtaken(m)
				d.put(m)
				continue
			}
			if d.current.read(m.data[:m.n], d.allocation(m.from) != nil) {
				d.at = m
				return copy(p, m.data[:m.n]), net.UDPAddrFromAddrPort(m.from), nil
			}
			d.done(m)
			d.counters.count(dropMalformed)
		}
	}
}

// WriteTo sends p, which answers the current request: pion has nothing else to send.
func (d *datagrams) WriteTo(p []byte, _ net.Addr) (int, error) {
	if d.at == nil {
		return 0, net.ErrClosed
	}
	out := d.current.answer(p, d.realm)
	if !d.affords(out, d.at.from) {
		d.counters.count(dropUnproved)
		return len(p), nil
	}
	if err := d.sockets.answer(out, d.at.from, d.at.local); err != nil {
		return 0, err
	}
	return len(p), nil
}

// affords says whether the answer to the current request may be sent: always to who has shown a password.
func (d *datagrams) affords(answer []byte, to netip.AddrPort) bool {
	size := len(answer)
	if d.current.key != nil {
		size = 0
	}
	return d.credit.spend(to.Addr(), d.current.size, size, time.Now())
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

// LocalAddr is the port's. All sockets are pion's one.
func (d *datagrams) LocalAddr() net.Addr { return d.sockets.local() }

// SetDeadline does nothing; pion sets none.
func (d *datagrams) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (d *datagrams) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (d *datagrams) SetWriteDeadline(time.Time) error { return nil }

func (d *datagrams) request(netip.AddrPort) *request { return &d.current }

func (d *datagrams) allocation(client netip.AddrPort) *allocation { return d.relay.table.find(client) }

func (d *datagrams) reach(b *binding) {
	if d.at != nil {
		b.to, b.local = d.at.from, d.at.local
	}
}

func (d *datagrams) settle(netip.AddrPort, bool) {}

func (d *datagrams) over() <-chan struct{} { return d.ended }

func (d *datagrams) wait() {
	<-d.ended
	<-d.served
}
