package turn

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
)

// maxMessage is the longest TURN message that is read from a client, in bytes, one less than pion's buffer. It bounds
// the payload of a packet.
const maxMessage = 1599

// binding says whose an allocation is. It does not change.
type binding struct {
	flow    flow
	to      netip.AddrPort // the client as the socket knows it, with its zone
	local   netip.Addr     // where the client reaches us, and expects answers from; invalid where the socket knows it
	stream  *stream        // nil: a UDP client
	name    string         // username that made the allocation
	key     []byte         // long-term key of that username: a rotation of secrets does not end what lives
	user    username
	session *session
	rates   *rates
	host    uint32 // of the allocation
}

// peer returns the live allocation that b's may exchange packets with at this address, nil if there is none there.
func (b *binding) peer(at netip.AddrPort) *allocation {
	if at.Port() != relayedPort {
		return nil
	}
	return b.end(hostOf(at.Addr()))
}

// end returns the live allocation that b's may exchange packets with by the host part of its relayed address, nil if there
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
	relay   *relay
	address netip.AddrPort // the relayed transport address
	host    uint32         // its host part, from 1
	bound   atomic.Pointer[binding]
	routes  atomic.Pointer[routes]
	closed  atomic.Bool
	end     time.Time // when pion ends it; guarded by relay.mu
	onClose func()    // set before pion has it

	behind behind // over UDP

	key  clientKey // of the table, over UDP
	next atomic.Pointer[allocation]

	kernel *kernelEnd // guarded by relay.mu; nil: the kernel does not know it
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
		if a.onClose != nil {
			a.onClose()
		}
	}
	return nil
}

// LocalAddr returns the relayed transport address.
func (a *allocation) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(a.address) }

// SetDeadline is not supported; pion sets none here.
func (a *allocation) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline is not supported.
func (a *allocation) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline is not supported.
func (a *allocation) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
