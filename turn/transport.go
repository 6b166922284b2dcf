package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
	pion "github.com/pion/turn/v4"
)

// transport is what clients reach the relay over: udp, tcp, tls or shared. Each has a pion server of its own, so that a client
// is known to its handlers by address alone.
type transport struct {
	name     string
	config   *Config
	relay    *relay
	counters *counters
	front    front
	permit   func(client net.Addr, peer net.IP) bool // permitted, except where a test opens it
	live     sync.WaitGroup                          // allocations that pion has not closed yet
}

// front is the listening side of a transport.
type front interface {
	// request returns the request that pion is at for a client.
	request(netip.AddrPort) *request
	// allocation returns a client's, nil if it has none.
	allocation(netip.AddrPort) *allocation
	// reach says how a client is reached that has just been granted an allocation. Its address is there.
	reach(*binding)
	// settle says whether a client has an allocation now.
	settle(client netip.AddrPort, has bool)
	// over is closed when pion's loop on the listener has been told that it is closed.
	over() <-chan struct{}
	// wait returns when everything that pion has started for the front, but allocations, has ended.
	wait()
	// Close ends the listener and its connections. Only the first call does anything.
	Close() error
}

// clientOf is a client's address as a key. pion's own 5-tuples know neither zones nor mapped addresses.
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

// pionConfig is what all transports' pion servers have in common.
func (t *transport) pionConfig() pion.ServerConfig {
	return pion.ServerConfig{
		Realm:         t.config.Realm,
		LoggerFactory: pionLog{t.config.Logger.With("transport", t.name), t.front.over()},
		AuthHandler:   t.authenticate,
		QuotaHandler:  t.quota,
		InboundMTU:    maxMessage + 1,
		EventHandler: pion.EventHandler{
			OnAuth:              t.authenticated,
			OnAllocationCreated: t.created,
			OnAllocationDeleted: t.deleted,
			OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) { t.routed(relayed, peer, true) },
			OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) { t.routed(relayed, peer, false) },
			OnChannelCreated: func(_, _ net.Addr, _, _, _ string, relayed, peer net.Addr, channel uint16) {
				if a := t.relay.allocation(relayed); a != nil {
					a.open(peerHost(peer), channel)
				}
			},
			OnChannelDeleted: func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, channel uint16) {
				if a := t.relay.allocation(relayed); a != nil {
					a.shut(channel)
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
		r.refusal = code
		t.counters.count(why)
		return nil, false
	}
	u, err := parseUsername(name)
	if err != nil || realm != t.config.Realm {
		return refuse(stun.CodeUnauthorized, authMalformed)
	}
	deadline, now := u.expires(), t.config.Now()
	_, b := t.at(c)
	var key []byte
	switch {
	case b != nil && b.user == u:
		key, deadline = b.key[:], deadline.Add(t.config.MaxLifetime)
	case b != nil && r.method != stun.MethodAllocate:
		return refuse(stun.CodeWrongCredentials, authWrongCredentials) // RFC 8656 section 5
	case b == nil && r.method != stun.MethodAllocate: // pion would not answer a Refresh, and does not ask about the rest
		return refuse(stun.CodeAllocMismatch, authNoAllocation)
	default:
		password, err := t.config.Keys.password(u)
		if err != nil {
			return refuse(stun.CodeUnauthorized, authUnknownKey)
		}
		key = pion.GenerateAuthKey(name, realm, password)
	}
	if !now.Before(deadline) {
		return refuse(stun.CodeUnauthorized, authExpired)
	}
	if r.strange(key) {
		return refuse(stun.CodeUnknownAttribute, refusedAttribute)
	}
	r.key = key
	return key, true
}

// authenticated is told whether a request was made with the key.
func (t *transport) authenticated(client, _ net.Addr, _, _, _, _ string, ok bool) {
	c := clientOf(client)
	r := t.front.request(c)
	if ok {
		if a, _ := t.at(c); a != nil && r.method == stun.MethodRefresh {
			a.lives(r.lifetime)
		}
		return
	}
	r.key, r.refusal = nil, stun.CodeUnauthorized
	t.counters.count(authIntegrity)
}

// quota says whether an Allocate that is otherwise in order may be granted.
func (t *transport) quota(name, _ string, client net.Addr) bool {
	r := t.front.request(clientOf(client))
	if r.unsupported != 0 {
		r.refusal = r.unsupported
		t.counters.count(refusedTransport)
		return false
	}
	if d := t.relay.draining.Load(); d != nil {
		r.refusal, r.alternate = d.refusal(clientOf(client).Addr())
		t.counters.count(refusedDraining)
		return false
	}
	u, err := parseUsername(name)
	if err == nil {
		err = t.relay.room(u, clientOf(client).Addr())
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

// Channels have these numbers; pion binds others too. RFC 8656, section 12, ends at 0x4fff, but clients of before, Debian's coturn's among them,
// take any of RFC 5766's, section 11. They harm nobody here.
const (
	firstChannel = 0x4000
	lastChannel  = 0x7fff
)

// permitted says whether a client may have a permission or a channel for a peer: for the other end of its session
// only, and a channel only for the port of its relayed address too, so that channels are as few as peers.
func (t *transport) permitted(client net.Addr, peer net.IP) bool {
	c := clientOf(client)
	r := t.front.request(c)
	a, b := t.at(c)
	if a != nil && a.ending() {
		r.refusal = stun.CodeAllocMismatch
		t.counters.count(refusedPeer)
		return false
	}
	if r.method == stun.MethodChannelBind && (r.channel < firstChannel || r.channel > lastChannel) {
		r.refusal = stun.CodeBadRequest
		t.counters.count(refusedPeer)
		return false
	}
	ip, _ := netip.AddrFromSlice(peer) // a mapped address stays one, and is nobody's
	switch {
	case b == nil:
	case r.method == stun.MethodChannelBind && b.end(hostOf(netip.AddrPortFrom(ip, r.peerPort))) != nil,
		r.method != stun.MethodChannelBind && b.reaches(hostPart(ip)):
		return true
	}
	r.refusal = stun.CodeForbidden
	t.counters.count(refusedPeer)
	return false
}

// created binds a new allocation to its session. Where that fails, since another transport was faster to the last
// place, the allocation is closed at once.
func (t *transport) created(client, _ net.Addr, _, name, _ string, relayed net.Addr, _ int) {
	c, a := clientOf(client), t.relay.allocation(relayed)
	u, err := parseUsername(name)
	if err == nil {
		b := binding{to: c, user: u}
		copy(b.key[:], t.front.request(c).key)
		t.front.reach(&b)
		err = t.relay.bind(a, b)
	}
	if err != nil {
		t.counters.count(refusedQuota)
		if a != nil {
			a.Close()
		}
		return
	}
	a.lives(t.front.request(c).lifetime)
	t.front.settle(c, true)
}

// deleted is told that pion is done with an allocation.
func (t *transport) deleted(client, _ net.Addr, _, _, _ string) {
	c := clientOf(client)
	_, b := t.at(c)
	t.front.settle(c, b != nil)
}

// at returns a client's allocation and what it is bound to, nil if it has none.
func (t *transport) at(client netip.AddrPort) (*allocation, *binding) {
	if a := t.front.allocation(client); a != nil {
		return a, a.bound.Load()
	}
	return nil, nil
}

// routed is told that a permission was made, or that it ended.
func (t *transport) routed(relayed net.Addr, peer net.IP, on bool) {
	a := t.relay.allocation(relayed)
	ip, ok := netip.AddrFromSlice(peer)
	if part := hostPart(ip); a != nil && ok && part != 0 {
		a.permit(part, on)
	}
}

// wait returns when pion has ended all that it started for the transport.
func (t *transport) wait() {
	t.front.wait()
	t.live.Wait()
}
