package turn

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// mostBehind bounds how many of an allocation's packets wait behind its requests.
const mostBehind = 16

// behind counts what of a UDP client is on its way to pion. A client that knows the relay's answer sends its first check of ICE right behind the request
// for a permission. Packets are quicker through a worker than requests through pion, so that one would come too early, and be lost: a fifth of a second
// until the next. A packet that has no way yet therefore waits behind the requests of its own client, and then every other of that client, for the
// order's sake. Who sends without having asked gains nothing: nothing waits then.
type behind struct {
	requests atomic.Int32
	packets  atomic.Int32
}

// relayable says whether a message is one to relay: ChannelData or a Send indication.
func relayable(p []byte) bool {
	if len(p) < 4 {
		return false
	}
	kind := binary.BigEndian.Uint16(p)
	return kind>>14 == 1 || kind == typeSend
}

// follow has a packet wait behind the requests of its allocation's client, if there is room.
func (d *datagrams) follow(a *allocation, p []byte, from netip.AddrPort, local netip.Addr) {
	if a.behind.packets.Add(1) > mostBehind {
		a.behind.packets.Add(-1)
		d.counters.count(dropNoPermission)
		return
	}
	if !d.queue(a, p, from, local) {
		a.behind.packets.Add(-1)
	}
}

// overtaken relays a packet that has waited, now that pion has done what was asked before it.
func (d *datagrams) overtaken(m *datagram) {
	if d.out == nil {
		d.out = d.sockets.outlet()
	}
	if !d.relay.forward(m.by, m.data[:m.n], d.out) {
		d.counters.count(dropNoPermission)
	}
	d.out.flush()
	m.by.behind.packets.Add(-1)
}
