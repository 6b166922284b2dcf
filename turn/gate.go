package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// outlet takes what passes the gate and sends it when it is flushed: in turn for each client, as much at a time as it can.
// Whoever reads from clients has one of its own.
type outlet interface {
	// head lends room for the head of the next message, until flush.
	head() *[dataHeader]byte
	// send takes a message for a client. Its parts must stay as they are until flush.
	send(to *binding, m packet)
	// flush sends what was taken. What the kernel refuses is dropped and counted.
	flush()
}

// packet is one TURN message on its way to a client, in parts.
type packet struct {
	head    []byte // what could not be written in front of the body, else empty
	body    []byte
	pad     int // zeros behind the body
	payload int // how much of it is data
}

func (m *packet) size() int { return len(m.head) + len(m.body) + m.pad }

// forward relays a message from an allocation's client, if it is one to relay; what is dropped is counted. It returns false
// for everything else: requests, what nobody understands, and what may have a way once pion has taken the requests before it. p may be
// written to. A nil allocation is that of a client that has none.
func (r *relay) forward(a *allocation, p []byte, out outlet) bool {
	if len(p) < 4 {
		return false
	}
	switch kind := binary.BigEndian.Uint16(p); {
	case kind>>14 == 1:
		return r.fromChannel(a, p, out)
	case kind == typeSend:
		return r.fromIndication(a, p, out)
	}
	return false
}

// early says whether what has no way may have one once pion has taken its client's requests, of which it must be known before the ways are looked at; else it
// is counted as dropped.
func (r *relay) early(asked bool, otherwise reason) bool {
	if !asked {
		r.counters.count(otherwise)
	}
	return asked
}

// fromChannel relays ChannelData (RFC 8656 section 12.6).
func (r *relay) fromChannel(a *allocation, p []byte, out outlet) (taken bool) {
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
	asked := a.behind.requests.Load() > 0
	to, ok := a.routed().by(binary.BigEndian.Uint16(p))
	if !ok {
		return !r.early(asked, dropNoChannel)
	}
	r.pass(a, to, p[:channelHeader+n], channelHeader, out)
	return true
}

// fromIndication relays the data of a Send indication (RFC 8656 section 11.2).
func (r *relay) fromIndication(a *allocation, p []byte, out outlet) (taken bool) {
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
	asked, to := a.behind.requests.Load() > 0, hostOf(peer)
	if b := a.bound.Load(); to != 0 && b != nil && b.end(to) != nil && !a.routed().permitted(to) {
		return !r.early(asked, dropNoPermission)
	}
	r.pass(a, to, p[:end], from, out)
	return true
}

// pass is the gate: data go to an allocation of the other role in the same session, whose client has asked for them, or
// nowhere. They are p from offset at on, which is at least channelHeader; what is before them may be overwritten.
func (r *relay) pass(from *allocation, to uint32, p []byte, at int, out outlet) {
	b := from.bound.Load()
	if b == nil {
		r.counters.count(dropUnbound)
		return
	}
	peer := b.end(to)
	if peer == nil {
		r.counters.count(dropNotPeer)
		return
	}
	target, back := peer.bound.Load(), peer.routed().to(from.host)
	n := len(p) - at
	switch {
	case target == nil: // it has just gone
		r.counters.count(dropNotPeer)
		return
	case back == 0 && !peer.routed().permitted(from.host):
		r.counters.count(dropNoPermission)
		return
	case r.limits.limitRates() && !r.affords(from, b, n+xdp.Headers, time.Since(r.start)):
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

// bundle collects, in an outlet, what goes to one stream.
type bundle struct {
	to       *stream
	messages []packet
}

// mostBundles bounds how many streams are looked through for each packet.
const mostBundles = 64

// bundles are the streams' part of any outlet.
type bundles struct {
	list []bundle
	used int
}

func (s *bundles) add(to *stream, m packet) {
	for i := range s.list[:s.used] {
		if s.list[i].to == to {
			s.list[i].messages = append(s.list[i].messages, m)
			return
		}
	}
	if s.used == mostBundles {
		s.flush()
	}
	if s.used == len(s.list) {
		s.list = append(s.list, bundle{})
	}
	b := &s.list[s.used]
	s.used++
	b.to, b.messages = to, append(b.messages[:0], m)
}

func (s *bundles) flush() {
	for i := range s.list[:s.used] {
		b := &s.list[i]
		b.to.push(b.messages)
		clear(b.messages)
		b.to = nil
	}
	s.used = 0
}

// ingress is what every reader of datagrams does with what it read: relay it, or hand it up.
type ingress struct {
	relay    *relay
	requests *datagrams
	out      outlet
}

// datagrams takes what one client sent at a time: p is cut into datagrams of size bytes, the last may be shorter.
func (i *ingress) datagrams(p []byte, size int, from netip.AddrPort, local netip.Addr) {
	a := i.relay.table.find(from)
	for datagram := range segments(p, size) {
		if a != nil && a.behind.packets.Load() > 0 || !i.relay.forward(a, datagram, i.out) {
			i.requests.take(a, datagram, from, local)
		}
	}
}
