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
// hardly ever inside a network, so an address that leaks means nothing to who finds it, and no real peer has it. Each
// allocation has an IP of its own, because TURN permissions name IPs without ports (RFC 8656 section 9): so a
// permission names one allocation. The port is the same for all; it is odd, so that EVEN-PORT always fails with 508.
const (
	relayedBase = 198<<24 | 18<<16
	relayedBits = 15
	relayedPort = 49153
)

var (
	errFull  = errors.New("no relayed address left")
	errQuota = errors.New("session has its allocations")
)

// flow is a client's 5-tuple: transports that differ never meet, even where address and port are equal. The server's
// side is left out, since each transport has one listener and refuses a second connection from a live client address.
type flow struct {
	transport string
	client    netip.AddrPort
}

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
	addresses map[netip.Addr]*allocation // by relayed address; bound or about to be
	flows     map[flow]*allocation       // bound
	sessions  map[sessionID]*session     // with at least one allocation
	shares    shares                     // of bound allocations
	last      uint32                     // host part handed out last
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
		addresses:      make(map[netip.Addr]*allocation),
		flows:          make(map[flow]*allocation),
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
		r.last = r.last%MaxAddresses + 1
		ip := relayedIP(r.last)
		if r.addresses[ip] != nil {
			continue
		}
		a := &allocation{
			relay:   r,
			address: netip.AddrPortFrom(ip, relayedPort),
			host:    r.last,
		}
		r.addresses[ip] = a
		return a, nil
	}
}

func relayedIP(host uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], relayedBase+host)
	return netip.AddrFrom4(b)
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

// bind gives the allocation at ip to a session. All allocations of the other role can be reached, not only the newest:
// the sender names the one it means, and a client that reloads or restarts ICE uses both for a while. It returns
// errQuota, or net.ErrClosed if there is no such allocation, and then the allocation stays unbound.
func (r *relay) bind(ip netip.Addr, b binding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.addresses[ip]
	if a == nil || a.bound.Load() != nil {
		return net.ErrClosed
	}
	s := r.sessions[b.user.session]
	if s == nil {
		s = new(session)
	}
	end := s.end(b.user.role)
	if len(end) >= r.maxPerRole || !r.shares.room(b.user, b.flow.client.Addr(), r.limits) {
		return errQuota
	}
	b.session, b.host = s, a.host
	b.rates = &rates{server: &r.pace, limits: &r.limits}
	b.rates.payer, b.rates.address = r.shares.take(b.user, b.flow.client.Addr(), time.Since(r.start))
	a.bound.Store(&b)
	more := append(end[:len(end):len(end)], a)
	s.ends[b.user.role].Store(&more)
	r.sessions[b.user.session] = s
	r.flows[b.flow] = a
	if b.stream == nil {
		r.table.add(a, b.flow.client)
	} else {
		b.stream.allocation.Store(a)
	}
	r.counters.bound.Add(1)
	r.gauge()
	return nil
}

// drop closes the allocation at ip, if there is one.
func (r *relay) drop(ip netip.Addr) {
	r.mu.Lock()
	a := r.addresses[ip]
	r.mu.Unlock()
	if a != nil {
		a.Close()
	}
}

// release forgets a.
func (r *relay) release(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.addresses[a.address.Addr()]; !ok {
		return
	}
	delete(r.addresses, a.address.Addr())
	if d := r.draining.Load(); d != nil && len(r.addresses) == 0 {
		close(d.empty)
	}
	b := a.bound.Swap(nil)
	if b == nil {
		return
	}
	if r.flows[b.flow] == a {
		delete(r.flows, b.flow)
	}
	if b.stream == nil {
		r.table.remove(a)
	} else {
		b.stream.allocation.CompareAndSwap(a, nil)
	}
	var rest []*allocation
	r.shares.give(b.user, b.flow.client.Addr(), time.Since(r.start))
	for _, other := range b.session.end(b.user.role) {
		if other != a {
			rest = append(rest, other)
		}
	}
	b.session.ends[b.user.role].Store(&rest)
	if r.kernel != nil {
		r.kernel.leave(a, b)
	}
	if len(b.session.end(camera))+len(b.session.end(viewer)) == 0 {
		delete(r.sessions, b.user.session)
	}
	r.gauge()
}

// gauge is called with mu held.
func (r *relay) gauge() {
	r.counters.allocations.Store(int64(len(r.flows)))
	r.counters.sessions.Store(int64(len(r.sessions)))
}

// at returns what the allocation of a client is bound to, nil if it has none.
func (r *relay) at(f flow) *binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.flows[f]; a != nil {
		return a.bound.Load()
	}
	return nil
}

// lastMoment is how long before its end an allocation gets no permission any more. pion would dereference nil if an allocation's
// timer ended it between the making of a permission and the start of its timer, which are microseconds.
const lastMoment = 250 * time.Millisecond

// lives says for how long a client's allocation lives from now on.
func (r *relay) lives(f flow, lifetime time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.flows[f]; a != nil {
		a.end = time.Now().Add(lifetime)
	}
}

// ending says whether a client's allocation is in its last moment.
func (r *relay) ending(f flow) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.flows[f]
	return a != nil && time.Until(a.end) < lastMoment
}

// allocation returns the one that has this relayed address, nil if there is none.
func (r *relay) allocation(relayed net.Addr) *allocation {
	u, ok := relayed.(*net.UDPAddr)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[u.AddrPort().Addr().Unmap()]
}

// relayedHost is the host part of a peer's relayed address, 0 for an address that is none.
func relayedHost(peer net.Addr) uint32 {
	u, ok := peer.(*net.UDPAddr)
	if !ok || u.Port != relayedPort {
		return 0
	}
	return hostOf(u.AddrPort().Addr())
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
	a.onClose = g.live.Done
	return a, a.LocalAddr(), nil
}

// AllocateConn would be RFC 6062, connections to peers over TCP: there are none.
func (g generator) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.ErrUnsupported
}
