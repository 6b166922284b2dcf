package turn

import "golang.org/x/sys/unix"

// Sizes of a batch. The kernel takes at most 64 segments in a message, and older versions at most 65,507 bytes less
// headers.
const (
	maxGroups        = 64
	maxHeads         = 256
	maxGroupParts    = 64
	maxGroupSegments = 64
	maxGroupBytes    = 65000
)

// segmentGroup is what one call hands to the kernel for one client: messages of one size, of which the last may be
// shorter. The kernel cuts it into datagrams (UDP_SEGMENT).
type segmentGroup struct {
	to       *binding
	segments int
	size     int // of every segment but the last
	total    int
	payload  int
	short    bool // the last is shorter: nothing can follow
	used     int  // of parts
	parts    [maxGroupParts][]byte
	iov      [maxGroupParts]unix.Iovec
	name     sockaddr
	control  control
}

// fits reports whether the group has room for a packet.
func (g *segmentGroup) fits(m *packet) bool {
	n := m.size()
	return !g.short && n <= g.size && g.segments < maxGroupSegments && g.total+n <= maxGroupBytes &&
		g.used+3 <= maxGroupParts
}

// appendPacket adds a packet as the next segment.
func (g *segmentGroup) appendPacket(m *packet) {
	n := m.size()
	if g.segments == 0 {
		g.size = n
	}

	g.short = n < g.size
	g.segments++
	g.total += n
	g.payload += m.payload
	g.appendPart(m.head)
	g.appendPart(m.body)
	g.appendPart(zeros[:m.pad])
}

// appendPart adds bytes to send. It joins parts that are adjacent in memory, as those that came in one piece are.
func (g *segmentGroup) appendPart(p []byte) {
	if len(p) == 0 {
		return
	}

	if g.used > 0 {
		last := &g.parts[g.used-1]
		if n := len(*last); n < cap(*last) && &(*last)[:n+1][n] == &p[0] {
			*last = (*last)[:n+len(p)]
			return
		}
	}
	g.parts[g.used] = p
	g.used++
}

// batch is the outlet of one reader. Groups are sent in the order in which they were begun, and a packet joins only
// the last group of its client, which keeps the order within a flow.
type batch struct {
	socket *batchSocket
	fd     int
	bundles
	groups   [maxGroups]segmentGroup
	used     int
	heads    [maxHeads][dataHeader]byte
	headed   int
	last     [256]uint8 // by the low byte of a client's relayed address: one more than its last group, 0 for none
	messages [maxGroups]mmsghdr
}

func (b *batch) head() *[dataHeader]byte {
	if b.headed == maxHeads || b.used == maxGroups {
		b.flush() // here, so that send, which may be holding a head, never has to
	}
	b.headed++
	return &b.heads[b.headed-1]
}

func (b *batch) send(to *binding, m packet) {
	if to.stream != nil {
		b.bundles.collect(to.stream, m)
		return
	}

	last := &b.last[uint8(to.host)]
	if *last != 0 {
		if g := &b.groups[*last-1]; g.to == to && b.socket.segmented.Load() && g.fits(&m) {
			g.appendPacket(&m)
			return
		}
	}

	if b.used == maxGroups {
		b.flush()
	}
	g := &b.groups[b.used]
	b.used++
	*last = uint8(b.used)
	g.to, g.segments, g.total, g.payload, g.used, g.short = to, 0, 0, 0, 0, false
	g.appendPacket(&m)
}

func (b *batch) flush() {
	b.bundles.flush()

	for i := range b.groups[:b.used] {
		b.socket.fillHeader(&b.messages[i].Msghdr, &b.groups[i])
	}
	for at := 0; at < b.used; {
		n, e := sendmmsg(b.fd, b.messages[at:b.used])
		switch {
		case e == unix.EINTR:
		case e != 0:
			b.handleRefusal(&b.groups[at], e)
			at++
		default:
			for _, g := range b.groups[at : at+n] {
				b.socket.counters.countRelayed(g.segments, g.payload)
			}
			at += n
		}
	}

	for i := range b.groups[:b.used] {
		b.last[uint8(b.groups[i].to.host)] = 0
		b.groups[i].to = nil
	}
	b.used, b.headed = 0, 0
}

// fillHeader writes the header of a group's message.
func (s *batchSocket) fillHeader(h *unix.Msghdr, g *segmentGroup) {
	h.Name = &g.name[0]
	h.Namelen = uint32(g.name.set(g.to.to, s.family))

	for i, p := range g.parts[:g.used] {
		g.iov[i].Base = &p[0]
		g.iov[i].SetLen(len(p))
	}
	h.Iov = &g.iov[0]
	h.SetIovlen(g.used)

	n := 0
	if g.segments > 1 {
		n = g.control.appendSegmentSize(n, g.size)
	}
	if s.wildcard && g.to.local.IsValid() {
		n = g.control.appendSource(n, g.to.local, s.family)
	}
	h.Control = nil
	if n > 0 {
		h.Control = &g.control[0]
	}
	h.SetControllen(n)
}

// handleRefusal deals with a group that the kernel did not take. The cause concerns one client, so the others go on.
// Where the segments may be the cause (a path with a smaller MTU, a device without checksums), it sends each by itself.
func (b *batch) handleRefusal(g *segmentGroup, e unix.Errno) {
	if g.segments > 1 {
		switch e {
		case unix.EIO:
			b.socket.disableSegments()
			fallthrough
		case unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP:
			b.sendSegments(g)
			return
		}
	}

	for range g.segments {
		b.socket.counters.count(dropSend)
	}
}

// sendSegments sends the segments of a group one by one. It counts an equal share of the payload for each.
func (b *batch) sendSegments(g *segmentGroup) {
	parts, left, share := g.parts, g.total, g.payload/g.segments // parts are a copy, since g is used again
	g.segments = 1
	for part := 0; left > 0; {
		size := min(g.size, left)
		left -= size

		g.used = 0
		for size > 0 {
			n := min(len(parts[part]), size)
			g.appendPart(parts[part][:n])
			size -= n
			if parts[part] = parts[part][n:]; len(parts[part]) == 0 {
				part++
			}
		}

		if e := b.socket.sendGroup(b.fd, g); e != 0 {
			b.socket.counters.count(dropSend)
			continue
		}
		b.socket.counters.countRelayed(1, share)
	}
}
