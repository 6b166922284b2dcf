package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessage is the longest TURN message that is read from a client, in bytes, one less than pion's buffer. It bounds
// the payload of a packet.
const maxMessage = 1599

// packet is a payload on its way from one allocation to another.
type packet struct {
	from *net.UDPAddr
	n    int
	data [maxMessage]byte
}

// binding says whose an allocation is. It does not change.
type binding struct {
	flow    flow
	name    string // username that made the allocation
	key     []byte // long-term key of that username: a rotation of secrets does not end what lives
	user    username
	session *session
	rates   *rates
}

// peer returns the live allocation that b's may exchange packets with at this address, nil if there is none there. It
// looks only among the other end of b's own session: there is nothing else it could find.
func (b *binding) peer(at netip.AddrPort) *allocation {
	for _, a := range b.session.end(b.user.role.other()) {
		if a.address == at {
			return a
		}
	}
	return nil
}

// allocation is the relayed side of one TURN allocation, in the place of the UDP socket that other servers have there.
// It is a net.PacketConn for pion: WriteTo takes what the client sends to a peer, ReadFrom yields what peers sent.
type allocation struct {
	relay   *relay
	address netip.AddrPort // the relayed transport address
	udp     *net.UDPAddr   // the same, never changed
	queue   chan *packet   // made by bind, before bound is set
	bound   atomic.Pointer[binding]

	done  chan struct{}
	close sync.Once
}

// WriteTo is the gate: a packet goes to an allocation of the other role in the same session, or nowhere. An
// IPv4-mapped spelling of a relayed address is not that address. A drop is counted and not an error, as with UDP.
func (a *allocation) WriteTo(p []byte, to net.Addr) (int, error) {
	n := a.relay.counters
	b := a.bound.Load()
	if b == nil {
		n.count(dropUnbound)
		return len(p), nil
	}
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		n.count(dropNotPeer)
		return len(p), nil
	}
	peer := b.peer(udp.AddrPort())
	if peer == nil {
		n.count(dropNotPeer)
		return len(p), nil
	}
	if len(p) > maxMessage {
		n.count(dropTooBig)
		return len(p), nil
	}
	if !b.rates.pass(len(p), time.Since(a.relay.start)) {
		n.count(dropRate)
		return len(p), nil
	}
	k := a.relay.packets.Get().(*packet)
	k.from, k.n = a.udp, copy(k.data[:], p)
	select {
	case peer.queue <- k:
		n.packets.Add(1)
		n.bytes.Add(uint64(len(p)))
	default:
		a.relay.packets.Put(k)
		n.count(dropQueueFull)
	}
	return len(p), nil
}

// ReadFrom waits for a packet from a peer. It returns net.ErrClosed after Close.
func (a *allocation) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case k := <-a.queue:
		n, from := copy(p, k.data[:k.n]), k.from
		a.relay.packets.Put(k)
		return n, from, nil
	case <-a.done:
		return 0, nil, net.ErrClosed
	}
}

// Close frees the address and takes the allocation out of its session. It returns nil, always: pion would leave its
// other allocations open at an error.
func (a *allocation) Close() error {
	a.close.Do(func() {
		a.relay.release(a)
		close(a.done)
	})
	return nil
}

// LocalAddr returns the relayed transport address.
func (a *allocation) LocalAddr() net.Addr { return a.udp }

// SetDeadline is not supported; pion sets none here.
func (a *allocation) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline is not supported.
func (a *allocation) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline is not supported.
func (a *allocation) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
