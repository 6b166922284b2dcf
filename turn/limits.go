package turn

import (
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// Limits bind what clients may hold and send beyond their own session's share, so that no household, address or flood
// takes what others need. Allocations are shared fairly (package netlimit): the fewer are left, the fewer new ones the
// largest owners may make, and living ones are never taken away. A session granted to a payer belongs to that payer;
// all others belong to their clients' addresses. So neither takes the places of the other.
//
// A rate is in bytes a second, after a burst of one second's worth; packets beyond it are dropped and counted. A packet
// costs its payload and xdp.Headers, so that one without payload costs something too. 0 means no limit.
type Limits struct {
	Payers    netlimit.Config // allocations that payers have; Size 0: no limit
	Addresses netlimit.Config // allocations that addresses have; Size 0: no limit

	Issuers netlimit.Config // allocations by credentials of other regions, see Keys.SetRegions; Size 0: no limit

	GroupAllocations int // that a payer has in one group of sessions, see Keys.GrantThrough; 0: no limit
	GroupRequests    int // a second, in the same; 0: no limit

	AddressRequests int             // a second, from one address, by clients without an allocation; 0: no limit
	Requests        netlimit.Config // a second, by all clients with one; Size 0: no limit

	AllocationRate int64 // sent by one allocation
	PayerRate      int64 // sent by all allocations of a payer
	ClientRate     int64 // sent from one source address, an IPv6 /64, by the allocations that belong to it
	ServerRate     int64 // relayed by this server

	// LoopbackUnlimited frees clients on this machine from all limits of addresses: for tests and demos.
	LoopbackUnlimited bool
}

func (l Limits) valid() bool {
	return min(l.AllocationRate, l.PayerRate, l.ClientRate, l.ServerRate) >= 0 &&
		min(l.AddressRequests, l.GroupAllocations, l.GroupRequests) >= 0 &&
		min(l.Payers.Size, l.Addresses.Size, l.Issuers.Size, l.Requests.Size) >= 0 && l.AddressRequests <= 1<<20
}

// limitRates reports whether any rate is limited.
func (l *Limits) limitRates() bool {
	return l.AllocationRate|l.PayerRate|l.ClientRate|l.ServerRate != 0
}

// unlimited reports whether a client is free from the limits of addresses.
func (l *Limits) unlimited(client netip.Addr) bool { return l.LoopbackUnlimited && client.IsLoopback() }

// withinRates reports whether n bytes from an allocation may pass now, and takes them from every limit. If one limit
// refuses, those before it have still been charged, which errs on the strict side.
func (r *relay) withinRates(a *allocation, b *binding, n int, now time.Duration) bool {
	l := &r.limits
	return a.bucket.takeTokens(n, l.AllocationRate, now) &&
		(b.payer == nil || b.payer.bucket.takeTokens(n, l.PayerRate, now)) &&
		(b.address == nil || b.address.bucket.takeTokens(n, l.ClientRate, now)) &&
		r.bucket.takeTokens(n, l.ServerRate, now)
}
