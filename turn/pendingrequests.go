package turn

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// maxPendingPackets bounds how many of an allocation's packets wait for its client's requests.
const maxPendingPackets = 16

// pendingRequests counts what a UDP client has on its way to pion.
//
// A client that expects the relay to agree sends its first ICE check right behind the request for a permission. A
// worker is faster than pion, so that check would come too early and be lost, which costs a fifth of a second until the
// next. A packet without a route therefore waits for the pending requests of its own client, and then all later packets
// of that client wait too, to keep their order. Sending without a request gains nothing: then nothing waits.
type pendingRequests struct {
	requests atomic.Int32
	packets  atomic.Int32
}

// relayable reports whether a message is one to relay: ChannelData or a Send indication.
func relayable(p []byte) bool {
	if len(p) < 4 {
		return false
	}
	kind := binary.BigEndian.Uint16(p)
	return kind>>14 == 1 || kind == typeSend
}

// enqueuePacket makes a packet wait for the requests of its allocation's client, if there is room. It first flushes the
// reader's outlet, which may hold earlier packets of the client: those that wait leave by another outlet.
func (d *datagrams) enqueuePacket(a *allocation, p []byte, from netip.AddrPort, local netip.Addr, out outlet) {
	if a.pending.packets.Add(1) > maxPendingPackets {
		a.pending.packets.Add(-1)
		d.counters.count(withoutRoute(p))
		return
	}

	out.flush()
	if !d.enqueue(a, p, from, local) {
		a.pending.packets.Add(-1)
	}
}

// forwardPending relays a packet that has waited, now that pion has handled the requests before it.
func (d *datagrams) forwardPending(m *datagram) {
	if d.out == nil {
		d.out = d.sockets.newOutlet()
	}
	if !d.relay.forward(m.by, m.data[:m.n], d.out) {
		d.counters.count(withoutRoute(m.data[:m.n]))
	}
	d.out.flush()
	m.by.pending.packets.Add(-1)
}
