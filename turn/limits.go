package turn

import (
	"maps"
	"net/netip"
	"time"
)

// Limits bind what clients may hold and send beyond their own session's share, so that one household, one address or one flood
// does not take what others need. 0 is no limit. A rate is in bytes a second, after a burst of one second's worth; what goes beyond is
// dropped and counted. A packet costs its payload and xdp.Headers, so that one without payload costs something too. An IPv6 client counts
// by its /64; a loopback address is bound by no limit of addresses, and what was granted to "" by none of payers.
type Limits struct {
	PayerAllocations  int // alive, of all sessions that were granted to one payer
	ClientAllocations int // alive, from one source address

	AllocationRate int64 // sent by one allocation
	PayerRate      int64 // sent by all allocations of a payer
	ClientRate     int64 // sent from one source address
	ServerRate     int64 // relayed by this server
}

func (l Limits) valid() bool {
	return min(l.PayerAllocations, l.ClientAllocations) >= 0 && min(l.AllocationRate, l.PayerRate, l.ClientRate, l.ServerRate) >= 0
}

// limitRates says whether there is any limit of rates.
func (l *Limits) limitRates() bool {
	return l.AllocationRate|l.PayerRate|l.ClientRate|l.ServerRate != 0
}

// share is what a payer or a client's address has of a server.
type share struct {
	allocations int // guarded by relay.mu
	pace        pace
}

// idle says whether a share is as good as a new one, at a time.
func (s *share) idle(now time.Duration) bool {
	return s.allocations == 0 && s.pace.full(now)
}

// shares are all that have something: made with their first allocation, and forgotten with the last, or within seconds of it where that would
// give back what was sent: whoever made allocations in turn would have no limit.
type shares struct {
	swept   time.Duration
	payers  map[payerKey]*share
	clients map[netip.Addr]*share // by network
}

// payerKey names a payer for as long as a secret lasts. With the next one it begins anew, so that while both hold, a payer may have
// its limits twice.
type payerKey struct {
	payer payerID
	key   keyID
}

func newShares() shares {
	return shares{payers: make(map[payerKey]*share), clients: make(map[netip.Addr]*share)}
}

// room says whether a payer and a client's address may have one allocation more.
func (s *shares) room(u username, client netip.Addr, l Limits) bool {
	full := func(has *share, most int) bool { return has != nil && most > 0 && has.allocations >= most }
	return !full(s.payers[payerKey{u.payer, u.key}], l.PayerAllocations) && !full(s.clients[Network(client)], l.ClientAllocations)
}

// sweep forgets those that have nothing any more, once a second at most.
func (s *shares) sweep(now time.Duration) {
	if now-s.swept < time.Second {
		return
	}
	s.swept = now
	maps.DeleteFunc(s.payers, func(_ payerKey, of *share) bool { return of.idle(now) })
	maps.DeleteFunc(s.clients, func(_ netip.Addr, of *share) bool { return of.idle(now) })
}

// take counts an allocation, and returns whose it is: nil for nobody's.
func (s *shares) take(u username, client netip.Addr, now time.Duration) (payer, address *share) {
	s.sweep(now)
	if u.payer != (payerID{}) {
		payer = taken(s.payers, payerKey{u.payer, u.key})
	}
	if !client.IsLoopback() {
		address = taken(s.clients, Network(client))
	}
	return payer, address
}

func taken[K comparable](in map[K]*share, k K) *share {
	s := in[k]
	if s == nil {
		s = new(share)
		in[k] = s
	}
	s.allocations++
	return s
}

// give takes back what take counted.
func (s *shares) give(u username, client netip.Addr, now time.Duration) {
	given(s.payers, payerKey{u.payer, u.key}, now)
	given(s.clients, Network(client), now)
}

func given[K comparable](in map[K]*share, k K, now time.Duration) {
	if s := in[k]; s != nil && s.allocations > 0 {
		if s.allocations--; s.idle(now) {
			delete(in, k)
		}
	}
}

// affords says whether n bytes from an allocation may pass now, and counts them. What one limit refuses has been taken from those
// before it, which errs on the strict side.
func (r *relay) affords(a *allocation, b *binding, n int, now time.Duration) bool {
	l := &r.limits
	return a.pace.take(n, l.AllocationRate, now) &&
		(b.payer == nil || b.payer.pace.take(n, l.PayerRate, now)) &&
		(b.address == nil || b.address.pace.take(n, l.ClientRate, now)) &&
		r.pace.take(n, l.ServerRate, now)
}
