package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// forward relays a message from an allocation's client, if it is one to relay; what it drops is counted. It returns
// false for everything else: requests, what nobody understands, and packets that may get a route once pion has handled
// the requests before them. It may write to p. A nil allocation means that the client has none.
func (r *relay) forward(a *allocation, p []byte, out outlet) bool {
	if len(p) < 4 {
		return false
	}
	switch kind := binary.BigEndian.Uint16(p); {
	case kind>>14 == 1:
		return r.forwardChannelData(a, p, out)
	case kind == typeSend:
		return r.forwardIndication(a, p, out)
	}
	return false
}

// mustWait reports whether a packet without a route should wait for its client's pending requests; otherwise it counts
// the drop. The caller must look for pending requests before it looks at the routes.
func (r *relay) mustWait(pending bool, p []byte) bool {
	if !pending {
		r.counters.count(withoutRoute(p))
	}
	return pending
}

// withoutRoute returns why a packet to relay that has no route is dropped.
func withoutRoute(p []byte) reason {
	if p[0]>>6 == 1 { // ChannelData
		return dropNoChannel
	}
	return dropNoPermission
}

// forwardChannelData relays ChannelData (RFC 8656 section 12.6).
func (r *relay) forwardChannelData(a *allocation, p []byte, out outlet) (done bool) {
	n := int(binary.BigEndian.Uint16(p[2:]))
	switch {
	case len(p) > maxMessage:
		r.counters.count(dropTooBig)
		return true
	case n > len(p)-channelHeader:
		r.counters.count(dropMalformed)
		return true
	case a == nil:
		r.counters.count(dropNoAllocation)
		return true
	}

	pending := a.pending.requests.Load() > 0
	to, ok := a.currentRoutes().peerOf(binary.BigEndian.Uint16(p))
	if !ok {
		return !r.mustWait(pending, p)
	}
	r.pass(a, to, p[:channelHeader+n], channelHeader, out)
	return true
}

// forwardIndication relays the data of a Send indication (RFC 8656 section 11.2).
func (r *relay) forwardIndication(a *allocation, p []byte, out outlet) (done bool) {
	peer, from, end, ok := sendIndication(p)
	switch {
	case len(p) > maxMessage:
		r.counters.count(dropTooBig)
		return true
	case !ok:
		r.counters.count(dropMalformed)
		return true
	case a == nil:
		r.counters.count(dropNoAllocation)
		return true
	}

	pending, to := a.pending.requests.Load() > 0, hostOf(peer)
	if b := a.bound.Load(); to != 0 && b != nil && b.peer(to) != nil && !a.currentRoutes().permits(to) {
		return !r.mustWait(pending, p)
	}
	r.pass(a, to, p[:end], from, out)
	return true
}

// pass is the gate: data goes to an allocation of the other role in the same session, whose client has asked for it, or
// nowhere. The data is p[at:], and at is at least channelHeader; what precedes it may be overwritten.
func (r *relay) pass(from *allocation, to uint32, p []byte, at int, out outlet) {
	b := from.bound.Load()
	if b == nil {
		r.counters.count(dropUnbound)
		return
	}
	peer := b.peer(to)
	if peer == nil {
		r.counters.count(dropNotPeer)
		return
	}

	target, back := peer.bound.Load(), peer.currentRoutes().channelTo(from.host)
	n := len(p) - at
	switch {
	case target == nil: // it has just ended
		r.counters.count(dropNotPeer)
		return
	case back == 0 && !peer.currentRoutes().permits(from.host):
		r.counters.count(dropNoPermission)
		return
	case r.limits.limitRates() && !r.withinRates(from, b, n+xdp.Headers, time.Since(r.start)):
		r.counters.count(dropRate)
		return
	}

	m := packet{payload: n}
	if back != 0 {
		m.body = p[at-channelHeader:]
		binary.BigEndian.PutUint16(m.body, back)
		binary.BigEndian.PutUint16(m.body[2:], uint16(n))
		if target.stream != nil { // RFC 8656 section 12.5
			m.pad = padded(n) - n
		}
	} else {
		head := out.head()
		writeData(head, from.host, n)
		m.head, m.body, m.pad = head[:], p[at:], padded(n)-n
	}
	out.send(target, m)
}

// ingress is what every reader of datagrams does with what it reads: relay it, or hand it up to pion.
type ingress struct {
	relay    *relay
	requests *datagrams
	out      outlet
}

// receive handles what one client sent in one go. It cuts p into datagrams of size bytes; the last may be shorter.
func (i *ingress) receive(p []byte, size int, from netip.AddrPort, local netip.Addr) {
	a := i.relay.clients.lookup(from)
	for datagram := range segments(p, size) {
		if a != nil && a.pending.packets.Load() > 0 || !i.relay.forward(a, datagram, i.out) {
			i.requests.handUp(a, datagram, from, local, i.out)
		}
	}
}
