package turn

import "golang.org/x/sys/unix"

// Sizes of a batch. The kernel takes at most 64 segments in a message, and in older versions 65,507 bytes less headers.
const (
	batchGroups   = 64
	batchHeads    = 256
	groupParts    = 64
	groupSegments = 64
	groupBytes    = 65000
)

// group is what one call hands to the kernel for one client: messages of one size, but that the last may be shorter, which
// the kernel cuts into datagrams (UDP_SEGMENT).
type group struct {
	to       *binding
	segments int
	size     int // of every segment but the last
	total    int
	payload  int
	short    bool // the last is shorter: nothing can follow
	used     int  // of parts
	parts    [groupParts][]byte
	iov      [groupParts]unix.Iovec
	name     sockaddr
	control  control
}

// fits says whether a message can be the next.
func (g *group) fits(m *packet) bool {
	n := m.size()
	return !g.short && n <= g.size && g.segments < groupSegments && g.total+n <= groupBytes && g.used+3 <= groupParts
}

func (g *group) add(m *packet) {
	n := m.size()
	if g.segments == 0 {
		g.size = n
	}
	g.short = n < g.size
	g.segments++
	g.total += n
	g.payload += m.payload
	g.part(m.head)
	g.part(m.body)
	g.part(zeros[:m.pad])
}

// part adds bytes to what is sent. Those that follow each other in memory, as what came in one piece does, stay one.
func (g *group) part(p []byte) {
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

// batch is the outlet of one reader. Groups are sent in the order in which they were begun, and a message joins only the
// last group of its client; so order within a flow is kept.
type batch struct {
	socket *batchSocket
	fd     int
	bundles
	groups   [batchGroups]group
	used     int
	heads    [batchHeads][dataHeader]byte
	headed   int
	last     [256]uint8 // by the low byte of a client's relayed address: one more than its last group, 0 for none
	messages [batchGroups]mmsghdr
}

func (b *batch) head() *[dataHeader]byte {
	if b.headed == batchHeads || b.used == batchGroups {
		b.flush() // here, so that send, which is called with a head in hand, never has to
	}
	b.headed++
	return &b.heads[b.headed-1]
}

func (b *batch) send(to *binding, m packet) {
	if to.stream != nil {
		b.bundles.add(to.stream, m)
		return
	}
	last := &b.last[uint8(to.host)]
	if *last != 0 {
		if g := &b.groups[*last-1]; g.to == to && b.socket.segmented.Load() && g.fits(&m) {
			g.add(&m)
			return
		}
	}
	if b.used == batchGroups {
		b.flush()
	}
	g := &b.groups[b.used]
	b.used++
	*last = uint8(b.used)
	g.to, g.segments, g.total, g.payload, g.used, g.short = to, 0, 0, 0, 0, false
	g.add(&m)
}

func (b *batch) flush() {
	b.bundles.flush()
	for i := range b.groups[:b.used] {
		b.socket.address(&b.messages[i].Msghdr, &b.groups[i])
	}
	for at := 0; at < b.used; {
		n, e := sendmmsg(b.fd, b.messages[at:b.used])
		switch {
		case e == unix.EINTR:
		case e != 0:
			b.refused(&b.groups[at], e)
			at++
		default:
			for _, g := range b.groups[at : at+n] {
				b.socket.counters.relayed(g.segments, g.payload)
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

// address writes the header of a group.
func (s *batchSocket) address(h *unix.Msghdr, g *group) {
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
		n = g.control.addSegment(n, g.size)
	}
	if s.wildcard && g.to.local.IsValid() {
		n = g.control.addLocal(n, g.to.local, s.family)
	}
	h.Control = nil
	if n > 0 {
		h.Control = &g.control[0]
	}
	h.SetControllen(n)
}

// refused deals with a group that the kernel did not take. Whatever it is, it concerns one client, and the others go on. Where
// segments may be the reason (a path with a smaller MTU, a device without checksums), each goes by itself.
func (b *batch) refused(g *group, e unix.Errno) {
	if g.segments > 1 {
		switch e {
		case unix.EIO:
			b.socket.unsegment()
			fallthrough
		case unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP:
			b.singly(g)
			return
		}
	}
	for range g.segments {
		b.socket.counters.count(dropSend)
	}
}

// singly sends the segments of a group one by one. Of its payload each is taken to have the same share.
func (b *batch) singly(g *group) {
	parts, left, share := g.parts, g.total, g.payload/g.segments // parts are a copy, since g is used again
	g.segments = 1
	for part := 0; left > 0; {
		size := min(g.size, left)
		left -= size
		g.used = 0
		for size > 0 {
			n := min(len(parts[part]), size)
			g.part(parts[part][:n])
			size -= n
			if parts[part] = parts[part][n:]; len(parts[part]) == 0 {
				part++
			}
		}
		var one [1]mmsghdr
		b.socket.address(&one[0].Msghdr, g)
		_, e := sendmmsg(b.fd, one[:])
		for e == unix.EINTR {
			_, e = sendmmsg(b.fd, one[:])
		}
		if e != 0 {
			b.socket.counters.count(dropSend)
			continue
		}
		b.socket.counters.relayed(1, share)
	}
}
