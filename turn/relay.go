package turn

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Relayed addresses are from 198.18.0.0/15, which RFC 2544 set aside for benchmarks: never routed on the Internet and
// hardly ever inside a network, so an address that leaks means nothing to who finds it, and no real peer has it. Where
// the IPs do not suffice, allocations share one and differ by port. TURN permissions name IPs without ports (RFC 8656
// section 9), and so hold for all allocations at an IP; which of them there are for a client, its session says. The
// ports are odd, so that EVEN-PORT always fails with 508.
//
// Inside this package a relayed address is its host, a number: the host part of the IP in the low hostBits, and above
// that which of the ports. No relayed address is 0.
const (
	relayedBase  = 198<<24 | 18<<16
	relayedBits  = 15
	hostBits     = 32 - relayedBits
	relayedPort  = 49153 // the first; the others are the odd ones behind it
	relayedPorts = 8
)

// MaxAddresses is how many relayed addresses there are.
const MaxAddresses = relayedPorts * (1<<hostBits - 2)

var (
	errFull  = errors.New("no relayed address left")
	errQuota = errors.New("session has its allocations")
)

// session is the two ends that may exchange packets. Each slice is replaced, never changed, so a packet takes no lock.
type session struct {
	ends [2]atomic.Pointer[[]*allocation]
}

// end returns the live allocations of a role.
func (s *session) end(r role) []*allocation {
	if p := s.ends[r].Load(); p != nil {
		return *p
	}
	return nil
}

// relay holds every allocation of a server, and nothing else that could be sent to.
type relay struct {
	maxAllocations, maxPerRole int
	limits                     Limits
	counters                   *counters
	start                      time.Time             // that paces are counted from
	pace                       pace                  // of all that is relayed
	draining                   atomic.Pointer[drain] // nil: no; set with mu held
	kernel                     *kernel               // nil: none
	table                      *table                // of bound UDP clients; changed with mu held

	mu        sync.Mutex
	addresses map[uint32]*allocation // by host; bound or about to be
	bound     int                    // of them
	sessions  map[sessionID]*session // with at least one allocation
	shares    shares                 // of bound allocations
	last      uint32                 // handed out last, counted from 0
}

func newRelay(c Config, n *counters) *relay {
	return &relay{
		maxAllocations: c.MaxAllocations,
		maxPerRole:     c.MaxPerRole,
		limits:         c.Limits,
		counters:       n,
		start:          time.Now(),
		shares:         newShares(),
		table:          newTable(c.MaxAllocations),
		addresses:      make(map[uint32]*allocation),
		sessions:       make(map[sessionID]*session),
		last:           rand.Uint32N(MaxAddresses), // a session may have allocations of two relays, and tells them apart by address
	}
}

// open makes an allocation with a free address, in turn, so that an address is not used again soon. It belongs to
// nobody, and relays nothing, until bind. It returns errFull.
func (r *relay) open() (*allocation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.addresses) >= r.maxAllocations || r.draining.Load() != nil {
		return nil, errFull
	}
	for {
		r.last = (r.last + 1) % MaxAddresses
		const ips = MaxAddresses / relayedPorts
		host := r.last/ips<<hostBits | (r.last%ips + 1)
		if r.addresses[host] != nil {
			continue
		}
		a := &allocation{relay: r, host: host}
		r.addresses[host] = a
		return a, nil
	}
}

// relayedIP is the IP of a relayed address, as a number.
func relayedIP(host uint32) uint32 { return relayedBase | ipOf(host) }

// ipOf is the part of a host that a permission names.
func ipOf(host uint32) uint32 { return host & (1<<hostBits - 1) }

func portOf(host uint32) uint16 { return relayedPort + 2*uint16(host>>hostBits) }

// addressOf is a relayed address as clients know it.
func addressOf(host uint32) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], relayedIP(host))
	return netip.AddrPortFrom(netip.AddrFrom4(b), portOf(host))
}

// hostOf is the host of a relayed address, 0 for any other.
func hostOf(at netip.AddrPort) uint32 {
	ip, port := hostPart(at.Addr()), at.Port()-relayedPort // around 0, for the lower ones
	if ip == 0 || port%2 != 0 || port/2 >= relayedPorts {
		return 0
	}
	return uint32(port/2)<<hostBits | ip
}

// hostPart is the host part of a relayed address' IP, 0 for any other. An IPv4-mapped spelling is another.
func hostPart(ip netip.Addr) uint32 {
	if !ip.Is4() {
		return 0
	}
	b := ip.As4()
	part := binary.BigEndian.Uint32(b[:]) - relayedBase
	if part >= 1<<hostBits {
		return 0
	}
	return part
}

// room says whether one more allocation of this session and role may be made from a client's address: nil, errQuota or errFull.
func (r *relay) room(u username, client netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[u.session]; s != nil && len(s.end(u.role)) >= r.maxPerRole {
		return errQuota
	}
	if !r.shares.room(u, client, r.limits) {
		return errQuota
	}
	if len(r.addresses) >= r.maxAllocations {
		return errFull
	}
	return nil
}

// bind gives an allocation to a session. All allocations of the other role can be reached, not only the newest:
// the sender names the one it means, and a client that reloads or restarts ICE uses both for a while. It returns
// errQuota, or net.ErrClosed if there is no such allocation, and then the allocation stays unbound.
func (r *relay) bind(a *allocation, b binding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a == nil || r.addresses[a.host] != a || a.bound.Load() != nil {
		return net.ErrClosed
	}
	client := b.client()
	s := r.sessions[b.user.session]
	if s == nil {
		s = new(session)
	}
	end := s.end(b.user.role)
	if len(end) >= r.maxPerRole || !r.shares.room(b.user, client.Addr(), r.limits) {
		return errQuota
	}
	b.session, b.host = s, a.host
	b.payer, b.address = r.shares.take(b.user, client.Addr(), time.Since(r.start))
	a.bound.Store(&b)
	more := append(end[:len(end):len(end)], a)
	s.ends[b.user.role].Store(&more)
	r.sessions[b.user.session] = s
	r.bound++
	if b.stream == nil {
		r.table.add(a, client)
	} else {
		b.stream.allocation.Store(a)
	}
	r.counters.bound.Add(1)
	r.gauge()
	return nil
}

// release forgets a.
func (r *relay) release(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.addresses[a.host] != a {
		return
	}
	delete(r.addresses, a.host)
	if d := r.draining.Load(); d != nil && len(r.addresses) == 0 {
		close(d.empty)
	}
	b := a.bound.Swap(nil)
	if b == nil {
		return
	}
	r.bound--
	if b.stream == nil {
		r.table.remove(a)
	} else {
		b.stream.allocation.CompareAndSwap(a, nil)
	}
	var rest []*allocation
	for _, other := range b.session.end(b.user.role) {
		if other != a {
			rest = append(rest, other)
		}
	}
	b.session.ends[b.user.role].Store(&rest)
	if r.kernel != nil {
		r.kernel.leave(a, b)
	}
	r.shares.give(b.user, b.client().Addr(), time.Since(r.start))
	if len(b.session.end(camera))+len(b.session.end(viewer)) == 0 {
		delete(r.sessions, b.user.session)
	}
	r.gauge()
}

// gauge is called with mu held.
func (r *relay) gauge() {
	r.counters.allocations.Store(int64(r.bound))
	r.counters.sessions.Store(int64(len(r.sessions)))
}

// lastMoment is how long before its end an allocation gets no permission any more. pion would dereference nil if an allocation's
// timer ended it between the making of a permission and the start of its timer, which are microseconds.
const lastMoment = 250 * time.Millisecond

// lives says for how long an allocation lives from now on.
func (a *allocation) lives(lifetime time.Duration) {
	a.end.Store(int64(time.Since(a.relay.start) + lifetime))
}

// ending says whether an allocation is in its last moment.
func (a *allocation) ending() bool {
	return time.Duration(a.end.Load())-time.Since(a.relay.start) < lastMoment
}

// allocation returns the one that has this relayed address, nil if there is none.
func (r *relay) allocation(relayed net.Addr) *allocation {
	u, ok := relayed.(*net.UDPAddr)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[hostOf(netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), uint16(u.Port)))]
}

// peerHost is the host of a peer, 0 for one that is at no relayed address.
func peerHost(peer net.Addr) uint32 {
	if u, ok := peer.(*net.UDPAddr); ok {
		return hostOf(u.AddrPort())
	}
	return 0
}

// generator is the relay as pion asks it for relayed addresses.
type generator struct {
	relay *relay
	live  *sync.WaitGroup // counts those that pion has not closed
}

func (g generator) Validate() error { return nil }

// AllocatePacketConn never opens a socket. A port can be asked for by EVEN-PORT only, which is refused.
func (g generator) AllocatePacketConn(_ string, port int) (net.PacketConn, net.Addr, error) {
	if port != 0 {
		return nil, nil, errors.ErrUnsupported
	}
	a, err := g.relay.open()
	if err != nil {
		return nil, nil, err
	}
	g.live.Add(1)
	a.live = g.live
	return a, a.LocalAddr(), nil
}

// AllocateConn would be RFC 6062, connections to peers over TCP: there are none.
func (g generator) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.ErrUnsupported
}
