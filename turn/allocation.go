package turn

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessage is the longest TURN message that is read from a client, in bytes, one less than pion's buffer. It bounds
// the payload of a packet.
const maxMessage = 1599

// binding says whose an allocation is. It does not change.
type binding struct {
	to      netip.AddrPort // the client as the socket knows it, with its zone
	local   netip.Addr     // where the client reaches us, and expects answers from; invalid where the socket knows it
	stream  *stream        // nil: a UDP client
	user    username       // that made the allocation
	key     [16]byte       // long-term key of that username: a rotation of secrets does not end what lives
	session *session
	payer   *share // whose limits bind it; nil: nobody's
	address *share // the same of the client's address
	host    uint32 // of the allocation
}

// client is whose it is, as a key.
func (b *binding) client() netip.AddrPort {
	return netip.AddrPortFrom(b.to.Addr().Unmap().WithZone(""), b.to.Port())
}

// reaches says whether b's allocation may exchange packets with any at an IP, by its host part.
func (b *binding) reaches(ip uint32) bool {
	for _, a := range b.session.end(b.user.role.other()) {
		if ipOf(a.host) == ip {
			return true
		}
	}
	return false
}

// end returns the live allocation that b's may exchange packets with by the host of its relayed address, nil if there
// is none. It looks only among the other end of b's own session: there is nothing else it could find.
func (b *binding) end(host uint32) *allocation {
	for _, a := range b.session.end(b.user.role.other()) {
		if a.host == host {
			return a
		}
	}
	return nil
}

// allocation is the relayed side of one TURN allocation, in the place of the UDP socket that other servers have there. It is a
// net.PacketConn for pion, which never comes to use it: packets take the way of relay.forward.
type allocation struct {
	relay  *relay
	host   uint32 // the relayed transport address
	closed atomic.Bool
	key    clientKey // of the table, over UDP
	next   atomic.Pointer[allocation]
	bound  atomic.Pointer[binding]
	routes atomic.Pointer[routes]
	end    atomic.Int64    // when pion ends it, in nanoseconds since relay.start
	pace   pace            // of what its client sends
	live   *sync.WaitGroup // has counted it; set before pion has it
	behind behind          // of its client, over UDP
	kernel *kernelEnd      // guarded by relay.mu; nil: the kernel does not know it
}

// WriteTo drops p: pion is shown no packet that it could relay.
func (a *allocation) WriteTo(p []byte, _ net.Addr) (int, error) {
	a.relay.counters.count(dropNotPeer)
	return len(p), nil
}

// ReadFrom never returns while the allocation lives. pion calls it from a goroutine that it starts for each allocation, with a
// buffer, and that would do nothing else but wait here: nobody waits for it, and so it ends. Once the allocation is closed it is
// told so, since then pion deletes it.
func (a *allocation) ReadFrom([]byte) (int, net.Addr, error) {
	if !a.closed.Load() {
		runtime.Goexit()
	}
	return 0, nil, net.ErrClosed
}

// Close frees the address and takes the allocation out of its session. It returns nil, always: pion would leave its
// other allocations open at an error.
func (a *allocation) Close() error {
	if a.closed.CompareAndSwap(false, true) {
		a.relay.release(a)
		if a.live != nil {
			a.live.Done()
		}
	}
	return nil
}

// LocalAddr returns the relayed transport address.
func (a *allocation) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(addressOf(a.host)) }

// SetDeadline is not supported; pion sets none here.
func (a *allocation) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline is not supported.
func (a *allocation) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline is not supported.
func (a *allocation) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
