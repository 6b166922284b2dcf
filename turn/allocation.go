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

// maxMessage is the longest TURN message that we read from a client, in bytes: one less than pion's buffer. It bounds
// the payload of a packet.
const maxMessage = 1599

// binding says who owns an allocation and how to reach its client. It does not change.
type binding struct {
	to      netip.AddrPort // the client as the socket knows it, with its zone
	local   netip.Addr     // our address that the client uses, and expects answers from; invalid: the socket knows it
	stream  *stream        // nil: a UDP client
	user    username       // that made the allocation
	key     [16]byte       // long-term key of user, kept so that a rotation of secrets ends no living allocation
	session *session
	payer   *share  // of the payer, whose limits apply; nil: nobody pays
	address *share  // of the client's address, if nobody pays
	issuer  *region // that made its credential
	lease   lease   // of a place among all allocations
	host    uint32  // of the allocation
}

// client returns the client's address as a key.
func (b *binding) client() netip.AddrPort {
	return netip.AddrPortFrom(b.to.Addr().Unmap().WithZone(""), b.to.Port())
}

// reachesIP reports whether b's allocation may exchange packets with any at an IP, given by its host part.
func (b *binding) reachesIP(ip uint32) bool {
	for _, a := range b.session.allocations(b.user.role.other()) {
		if ipOf(a.host) == ip {
			return true
		}
	}
	return false
}

// peer returns the live allocation at a relayed address that b's allocation may exchange packets with, nil if there is
// none. It searches only the other end of b's own session: there is nothing else it could find.
func (b *binding) peer(host uint32) *allocation {
	for _, a := range b.session.allocations(b.user.role.other()) {
		if a.host == host {
			return a
		}
	}
	return nil
}

// allocation is the relayed side of one TURN allocation, where other servers have a UDP socket. To pion it is a
// net.PacketConn, but pion never uses it as one: packets go through relay.forward.
type allocation struct {
	relay   *relay
	host    uint32 // the relayed transport address
	closed  atomic.Bool
	key     clientKey // in the clientTable, over UDP
	next    atomic.Pointer[allocation]
	bound   atomic.Pointer[binding]
	routes  atomic.Pointer[routes]
	endsAt  atomic.Int64    // when pion ends it, in nanoseconds since relay.start
	bucket  tokenBucket     // for what its client sends
	live    *sync.WaitGroup // has counted it; set before pion gets it
	pending pendingRequests // of its client, over UDP
	kernel  *kernelClient   // guarded by relay.mu; nil: the kernel does not know it
}

// lastMoment is how long before its end an allocation gets no more permissions. pion would dereference nil if an
// allocation ended in the microseconds between making a permission and starting its timer.
const lastMoment = 250 * time.Millisecond

// setLifetime notes how long an allocation lives from now on.
func (a *allocation) setLifetime(lifetime time.Duration) {
	a.endsAt.Store(int64(time.Since(a.relay.start) + lifetime))
}

// isEnding reports whether an allocation is in its last moment.
func (a *allocation) isEnding() bool {
	return time.Duration(a.endsAt.Load())-time.Since(a.relay.start) < lastMoment
}

// WriteTo drops p: pion sees no packet that it could relay.
func (a *allocation) WriteTo(p []byte, _ net.Addr) (int, error) {
	a.relay.counters.count(dropNotPeer)
	return len(p), nil
}

// ReadFrom never returns while the allocation lives. pion calls it from a goroutine of each allocation, which holds a
// buffer and would only wait here; nothing waits for the goroutine, so ReadFrom ends it. Once the allocation is closed,
// ReadFrom returns an error, on which pion deletes the allocation.
func (a *allocation) ReadFrom([]byte) (int, net.Addr, error) {
	if !a.closed.Load() {
		runtime.Goexit()
	}
	return 0, nil, net.ErrClosed
}

// Close frees the address and takes the allocation out of its session. It always returns nil: on an error pion would
// leave its other allocations open.
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
