package turn

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errFull  = errors.New("no relayed address left")
	errQuota = errors.New("session has its allocations")
)

// session is the two ends that may exchange packets. Each slice is replaced, never changed, so that a packet takes no
// lock.
type session struct {
	ends [2]atomic.Pointer[[]*allocation]
}

// allocations returns the live allocations of a role.
func (s *session) allocations(r role) []*allocation {
	if p := s.ends[r].Load(); p != nil {
		return *p
	}
	return nil
}

// relay holds every allocation of a server, and nothing else that packets could be sent to.
type relay struct {
	maxAllocations, maxPerRole int
	limits                     Limits
	counters                   *counters
	start                      time.Time             // that token buckets count from
	bucket                     tokenBucket           // for all that is relayed
	pools                      allocationPools       // of all allocations
	requests                   requestLimits         // of all clients
	draining                   atomic.Pointer[drain] // nil: no; set with mu held
	kernel                     *kernel               // nil: none
	clients                    *clientTable          // bound UDP clients; changed with mu held

	mu        sync.Mutex
	addresses map[uint32]*allocation                 // by host; bound or about to be
	bound     int                                    // how many of them are bound
	sessions  map[sessionName]*session               // with at least one allocation
	groups    map[groupName]map[*allocation]struct{} // the bound ones that somebody pays for
	shares    shares                                 // of bound allocations
	last      uint32                                 // handed out last, counted from 0
}

func newRelay(c Config, n *counters) *relay {
	r := &relay{
		maxAllocations: c.MaxAllocations,
		maxPerRole:     c.MaxPerRole,
		limits:         c.Limits,
		counters:       n,
		start:          time.Now(),
		shares:         newShares(),
		clients:        newClientTable(c.MaxAllocations),
		addresses:      make(map[uint32]*allocation),
		sessions:       make(map[sessionName]*session),
		groups:         make(map[groupName]map[*allocation]struct{}),

		// A session may have allocations on two relays, and tells them apart by address.
		last: rand.Uint32N(MaxAddresses),
	}
	r.pools = newAllocationPools(&r.limits)
	r.requests = newRequestLimits(&r.limits, r.start)
	return r
}

// newAllocation makes an allocation with a free address. Addresses are used in turn, so that none is used again soon.
// Until bind, the allocation belongs to nobody and relays nothing. newAllocation returns errFull.
func (r *relay) newAllocation() (*allocation, error) {
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

// checkRoom returns nil if this session and role may have one more allocation, else errQuota or errFull.
func (r *relay) checkRoom(u username, by *region) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[u.name()]; s != nil && len(s.allocations(u.role)) >= r.maxPerRole || r.groupIsFull(u, by) {
		return errQuota
	}
	if len(r.addresses) >= r.maxAllocations {
		return errFull
	}
	return nil
}

// bind gives an allocation to a session. It can then reach all allocations of the other role, not only the newest: the
// sender names the one it means, and a client that reloads or restarts ICE uses both for a while. bind returns
// errQuota, or net.ErrClosed if there is no such allocation; either way the allocation stays unbound.
func (r *relay) bind(a *allocation, b binding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a == nil || r.addresses[a.host] != a || a.bound.Load() != nil {
		return net.ErrClosed
	}

	s := r.sessions[b.user.name()]
	if s == nil {
		s = new(session)
	}
	end := s.allocations(b.user.role)
	if len(end) >= r.maxPerRole || r.groupIsFull(b.user, b.issuer) {
		return errQuota
	}

	client := b.client()
	b.session, b.host = s, a.host
	b.payer, b.address = r.shares.acquire(b.user, client.Addr(), &r.limits, time.Since(r.start))
	a.bound.Store(&b)

	longer := append(end[:len(end):len(end)], a)
	s.ends[b.user.role].Store(&longer)
	r.sessions[b.user.name()] = s
	r.joinGroup(&b, a)
	r.bound++

	if b.stream == nil {
		r.clients.insert(a, client)
	} else {
		b.stream.allocation.Store(a)
	}
	r.counters.bound.Add(1)
	r.updateGauges()
	return nil
}

// release forgets an allocation.
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
	if b := a.bound.Swap(nil); b != nil {
		r.unbind(a, b)
	}
}

// unbind takes an allocation out of its session. r.mu must be held.
func (r *relay) unbind(a *allocation, b *binding) {
	r.bound--
	if b.stream == nil {
		r.clients.remove(a)
	} else {
		b.stream.allocation.CompareAndSwap(a, nil)
	}

	var rest []*allocation
	for _, other := range b.session.allocations(b.user.role) {
		if other != a {
			rest = append(rest, other)
		}
	}
	b.session.ends[b.user.role].Store(&rest)

	if r.kernel != nil {
		r.kernel.removeAllocation(a, b)
	}
	b.lease.release()
	r.leaveGroup(b, a)
	r.shares.release(b, time.Since(r.start))
	if len(b.session.allocations(camera))+len(b.session.allocations(viewer)) == 0 {
		delete(r.sessions, b.user.name())
	}
	r.updateGauges()
}

// updateGauges brings the gauges up to date. r.mu must be held.
func (r *relay) updateGauges() {
	r.counters.allocations.Store(int64(r.bound))
	r.counters.sessions.Store(int64(len(r.sessions)))
}

// findAllocation returns the allocation with this relayed address, nil if there is none.
func (r *relay) findAllocation(relayed net.Addr) *allocation {
	u, ok := relayed.(*net.UDPAddr)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[hostOf(netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), uint16(u.Port)))]
}

// addressGenerator is the relay as pion asks it for relayed addresses.
type addressGenerator struct {
	relay *relay
	live  *sync.WaitGroup // counts the allocations that pion has not closed
}

func (g addressGenerator) Validate() error { return nil }

// AllocatePacketConn never opens a socket. Only EVEN-PORT can ask for a port, and that is refused.
func (g addressGenerator) AllocatePacketConn(_ string, port int) (net.PacketConn, net.Addr, error) {
	if port != 0 {
		return nil, nil, errors.ErrUnsupported
	}
	a, err := g.relay.newAllocation()
	if err != nil {
		return nil, nil, err
	}
	g.live.Add(1)
	a.live = g.live
	return a, a.LocalAddr(), nil
}

// AllocateConn would make connections to peers over TCP (RFC 6062), which we do not offer.
func (g addressGenerator) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.ErrUnsupported
}
