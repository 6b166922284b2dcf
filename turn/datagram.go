package turn

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// datagrams is the UDP socket, as pion reads and writes it.
type datagrams struct {
	net.PacketConn
	realm    string
	credit   *credit
	counters *counters
	current  request
	closed   chan struct{} // closed by Close
	ended    chan struct{} // closed when pion's read loop has been told so
}

func newDatagrams(c net.PacketConn, realm string, credit *credit, n *counters) *datagrams {
	return &datagrams{PacketConn: c, realm: realm, credit: credit, counters: n, closed: make(chan struct{}), ended: make(chan struct{})}
}

// ReadFrom returns the next message that pion shall see, and an error only after Close: pion's read loop ends at any.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	var wait backoff
	for {
		n, from, err := d.PacketConn.ReadFrom(p)
		switch {
		case errors.Is(err, net.ErrClosed) || err != nil && !wait.after(d.closed):
			close(d.ended)
			return 0, nil, net.ErrClosed
		case err != nil:
		case n > maxMessage:
			d.counters.count(dropTooBig)
		case !d.current.read(p[:n]):
			d.counters.count(dropMalformed)
		default:
			return n, from, nil
		}
	}
}

// WriteTo sends p, which answers the current request or is relayed.
func (d *datagrams) WriteTo(p []byte, to net.Addr) (int, error) {
	out := d.current.answer(p, d.realm)
	if class, ok := stunClass(out); ok && class != stun.ClassIndication && !d.affords(out, to) {
		d.counters.count(dropUnproved)
		return len(p), nil
	}
	if _, err := d.PacketConn.WriteTo(out, to); err != nil {
		return 0, err
	}
	return len(p), nil
}

// affords says whether the answer to the current request may be sent: always to who has shown a password.
func (d *datagrams) affords(answer []byte, to net.Addr) bool {
	size := len(answer)
	if d.current.key != nil {
		size = 0
	}
	return d.credit.spend(clientOf(to).Addr(), d.current.size, size, time.Now())
}

func (d *datagrams) Close() error {
	select {
	case <-d.closed:
		return nil
	default:
	}
	close(d.closed)
	return d.PacketConn.Close()
}

func (d *datagrams) request(netip.AddrPort) *request { return &d.current }

func (d *datagrams) settle(netip.AddrPort, bool) {}

func (d *datagrams) over() <-chan struct{} { return d.ended }

func (d *datagrams) wait() { <-d.ended }

// backoff waits longer and longer, 5 ms to 1 s, between tries of what failed and may work again, such as accepting a
// connection when no descriptor is left.
type backoff time.Duration

// after waits and returns true, or returns false as soon as stop is closed.
func (b *backoff) after(stop <-chan struct{}) bool {
	*b = min(max(2*(*b), backoff(5*time.Millisecond)), backoff(time.Second))
	timer := time.NewTimer(time.Duration(*b))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}
