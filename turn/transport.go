package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
	pion "github.com/pion/turn/v4"

	"github.com/peephole-cam/peephole/netlimit"
)

// transport is a way for clients to reach the relay: UDP, or one of Config.Streams. Each has its own pion server, so
// that its handlers can tell a client by its address alone.
type transport struct {
	name     string
	config   *Config
	relay    *relay
	counters *counters
	front    front
	permit   func(client net.Addr, peer net.IP) bool // permits, unless a test replaces it
	live     sync.WaitGroup                          // allocations that pion has not closed yet
}

// front is the listening side of a transport.
type front interface {
	// request returns the request of a client that pion is handling.
	request(client netip.AddrPort) *request
	// allocation returns a client's allocation, nil if it has none.
	allocation(client netip.AddrPort) *allocation
	// setReturnPath adds to a new allocation's binding, which has the client's address, how to reach the client.
	setReturnPath(*binding)
	// admit asks for a place for a client's connection, now that the client makes an allocation that belongs to who.
	// It returns why the client may not stay.
	admit(client netip.AddrPort, who netlimit.Payer) error
	// setAllocated notes whether a client has an allocation now.
	setAllocated(client netip.AddrPort, has bool)
	// done is closed once pion's loop on the listener knows that it is closed.
	done() <-chan struct{}
	// wait returns when everything that pion has started for the front, except allocations, has ended.
	wait()
	// Close ends the listener and its connections. Only the first call does anything.
	Close() error
}

// clientOf returns a client's address as a key. pion's own 5-tuples know neither zones nor mapped addresses.
func clientOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// pionConfig returns what the pion servers of all transports have in common.
func (t *transport) pionConfig() pion.ServerConfig {
	return pion.ServerConfig{
		Realm:         t.config.Realm,
		LoggerFactory: pionLog{t.config.Logger.With("transport", t.name), t.front.done()},
		AuthHandler:   t.authenticate,
		QuotaHandler:  t.quota,
		InboundMTU:    maxMessage + 1,
		EventHandler: pion.EventHandler{
			OnAuth:              t.onAuth,
			OnAllocationCreated: t.onAllocationCreated,
			OnAllocationDeleted: t.onAllocationDeleted,
			OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) {
				t.onPermission(relayed, peer, true)
			},
			OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) {
				t.onPermission(relayed, peer, false)
			},
			OnChannelCreated: func(_, _ net.Addr, _, _, _ string, relayed, peer net.Addr, channel uint16) {
				if a := t.relay.findAllocation(relayed); a != nil {
					a.addChannel(peerHost(peer), channel)
				}
			},
			OnChannelDeleted: func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, channel uint16) {
				if a := t.relay.findAllocation(relayed); a != nil {
					a.removeChannel(channel)
				}
			},
		},
	}
}

// authenticate returns the key that a request's MESSAGE-INTEGRITY must have been made with. Credentials are good for
// Allocate until they expire, and for the allocation that they made for MaxLifetime more.
func (t *transport) authenticate(name, realm string, client net.Addr) ([]byte, bool) {
	c := clientOf(client)
	r := t.front.request(c)
	refuse := func(code stun.ErrorCode, why reason) ([]byte, bool) {
		if code == stun.CodeUnauthorized {
			r.failures++
		}
		r.refusal = code
		t.counters.count(why)
		return nil, false
	}

	u, err := parseUsername(name)
	if err != nil || realm != t.config.Realm {
		return refuse(stun.CodeUnauthorized, authMalformed)
	}

	deadline, now := u.expires(), t.config.Now()
	_, b := t.clientAllocation(c)
	var key []byte
	switch {
	case b != nil && b.user == u:
		key, deadline = b.key[:], deadline.Add(t.config.MaxLifetime)
	case b != nil && r.method != stun.MethodAllocate:
		return refuse(stun.CodeWrongCredentials, authWrongCredentials) // RFC 8656 section 5
	case b == nil && r.method != stun.MethodAllocate: // pion leaves a Refresh unanswered, and does not ask about others
		return refuse(stun.CodeAllocMismatch, authNoAllocation)
	default:
		password, by, err := t.config.Keys.password(u, now)
		switch {
		case errors.Is(err, errRevoked):
			return refuse(stun.CodeUnauthorized, authRevoked)
		case err != nil:
			return refuse(stun.CodeUnauthorized, authUnknownKey)
		}
		key, r.issuer = pion.GenerateAuthKey(name, realm, password), by
	}

	if !now.Before(deadline) {
		return refuse(stun.CodeUnauthorized, authExpired)
	}
	if r.hasUnknownAttributes(key) {
		return refuse(stun.CodeUnknownAttribute, refusedAttribute)
	}
	r.key = key
	return key, true
}

// onAuth handles pion's verdict on whether a request was made with the key.
func (t *transport) onAuth(client, _ net.Addr, _, _, _, _ string, ok bool) {
	c := clientOf(client)
	r := t.front.request(c)
	if ok {
		if a, _ := t.clientAllocation(c); a != nil && r.method == stun.MethodRefresh {
			a.setLifetime(r.lifetime)
		}
		return
	}

	r.key, r.refusal = nil, stun.CodeUnauthorized
	r.failures++
	t.counters.count(authIntegrity)
}

// quota reports whether an Allocate that is otherwise in order may be granted.
func (t *transport) quota(name, _ string, client net.Addr) bool {
	c := clientOf(client)
	r := t.front.request(c)
	if r.unsupported != 0 {
		r.refusal = r.unsupported
		t.counters.count(refusedTransport)
		return false
	}
	if d := t.relay.draining.Load(); d != nil {
		r.refusal, r.alternate = d.refusal(c.Addr())
		t.counters.count(refusedDraining)
		return false
	}

	u, err := parseUsername(name)
	if err == nil {
		err = t.reserve(u, c, r)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, errFull):
		r.refusal = stun.CodeInsufficientCapacity
	default:
		r.refusal = stun.CodeAllocQuotaReached
	}
	t.counters.count(refusedQuota)
	return false
}

// reserve takes what an Allocate needs besides its allocation: a lease for that, and over TCP a place for the
// connection.
func (t *transport) reserve(u username, client netip.AddrPort, r *request) error {
	if err := t.relay.checkRoom(u, r.issuer); err != nil {
		return err
	}
	taken, err := t.relay.pools.lease(u, r.issuer, client.Addr())
	if err != nil {
		return err
	}
	if err := t.front.admit(client, payerOf(u, client.Addr())); err != nil {
		taken.release()
		return errQuota
	}

	r.lease = taken
	r.undo = func() {
		taken.release()
		t.front.setAllocated(client, false)
	}
	return nil
}

// The range of channel numbers; pion also binds others. RFC 8656, section 12, ends it at 0x4fff, but older clients,
// such as Debian's coturn, use all of RFC 5766's, section 11. Those do no harm here.
const (
	firstChannel = 0x4000
	lastChannel  = 0x7fff
)

// permits reports whether a client may have a permission or a channel for a peer: only for the other end of its
// session. A channel must also name the port of the relayed address, so that there are no more channels than peers.
func (t *transport) permits(client net.Addr, peer net.IP) bool {
	c := clientOf(client)
	r := t.front.request(c)
	refuse := func(code stun.ErrorCode) bool {
		r.refusal = code
		t.counters.count(refusedPeer)
		return false
	}

	a, b := t.clientAllocation(c)
	if a != nil && a.isEnding() {
		return refuse(stun.CodeAllocMismatch)
	}
	if r.method == stun.MethodChannelBind && (r.channel < firstChannel || r.channel > lastChannel) {
		return refuse(stun.CodeBadRequest)
	}
	if b == nil {
		return refuse(stun.CodeForbidden)
	}

	ip, _ := netip.AddrFromSlice(peer) // a mapped address stays mapped, and so is nobody's
	reaches := b.reachesIP(hostPart(ip))
	if r.method == stun.MethodChannelBind {
		reaches = b.peer(hostOf(netip.AddrPortFrom(ip, r.peerPort))) != nil
	}
	if !reaches {
		return refuse(stun.CodeForbidden)
	}
	return true
}

// onAllocationCreated binds a new allocation to its session. If that fails, because another transport took the last
// place or the session was revoked meanwhile, it closes the allocation at once.
func (t *transport) onAllocationCreated(client, _ net.Addr, _, name, _ string, relayed net.Addr, _ int) {
	c, a := clientOf(client), t.relay.findAllocation(relayed)
	if err := t.bind(a, name, c); err != nil {
		t.counters.count(refusedQuota)
		if a != nil {
			a.Close()
		}
		return
	}

	a.setLifetime(t.front.request(c).lifetime)
	t.front.setAllocated(c, true)
}

// bind binds an allocation that a client has made to the session that its username names.
func (t *transport) bind(a *allocation, name string, client netip.AddrPort) error {
	u, err := parseUsername(name)
	if err != nil {
		return err
	}

	r := t.front.request(client)
	b := binding{to: client, user: u, issuer: r.issuer, lease: r.lease}
	copy(b.key[:], r.key)
	t.front.setReturnPath(&b)
	if err := t.relay.bind(a, b); err != nil {
		return err
	}
	r.lease, r.undo = lease{}, nil // they are the allocation's now

	if keys := t.config.Keys; keys.groups.isRevoked(u) || !keys.regions.lists(b.issuer) {
		return errRevoked
	}
	return nil
}

// onAllocationDeleted notes that pion has deleted an allocation.
func (t *transport) onAllocationDeleted(client, _ net.Addr, _, _, _ string) {
	c := clientOf(client)
	_, b := t.clientAllocation(c)
	t.front.setAllocated(c, b != nil)
}

// clientAllocation returns a client's allocation and what it is bound to, nil if it has none.
func (t *transport) clientAllocation(client netip.AddrPort) (*allocation, *binding) {
	if a := t.front.allocation(client); a != nil {
		return a, a.bound.Load()
	}
	return nil, nil
}

// onPermission notes that pion has made a permission, or ended it.
func (t *transport) onPermission(relayed net.Addr, peer net.IP, on bool) {
	a := t.relay.findAllocation(relayed)
	ip, ok := netip.AddrFromSlice(peer)
	if part := hostPart(ip); a != nil && ok && part != 0 {
		a.setPermission(part, on)
	}
}

// wait returns when everything that pion started for the transport has ended.
func (t *transport) wait() {
	t.front.wait()
	t.live.Wait()
}
