package turn

import (
	"net/netip"

	"github.com/peephole-cam/peephole/netlimit"
)

// allocationPools hand out leases of the allocations that there may be.
type allocationPools struct {
	limits    *Limits
	payers    *netlimit.Pool // nil: no limit
	addresses *netlimit.Pool // nil: no limit
}

func newAllocationPools(l *Limits) allocationPools {
	return allocationPools{limits: l, payers: newPool(l.Payers), addresses: newPool(l.Addresses)}
}

func newPool(c netlimit.Config) *netlimit.Pool {
	if c.Size == 0 {
		return nil
	}
	return netlimit.NewPool(c)
}

// lease leases a place for an allocation that a client makes: nil if no limit applies. It returns errQuota.
func (p *allocationPools) lease(u username, client netip.Addr) (*netlimit.Lease, error) {
	who := payerOf(u, client)
	pool := p.addresses
	switch {
	case who.IsNamed():
		pool = p.payers
	case p.limits.unlimited(client):
		pool = nil
	}
	if pool == nil {
		return nil, nil
	}

	lease, err := pool.Acquire(who, 1)
	if err != nil {
		return nil, errQuota
	}
	return lease, nil
}

// releaseLease ends a lease, if there is one.
func releaseLease(lease *netlimit.Lease) {
	if lease != nil {
		lease.Release()
	}
}

// payerOf returns who owns a client's allocation: the payer that its session was granted to, or else its address.
func payerOf(u username, client netip.Addr) netlimit.Payer {
	if u.payer == (payerID{}) {
		return netlimit.PayerOf(client)
	}
	var name [16]byte
	copy(name[copy(name[:], u.payer[:]):], u.key[:])
	return netlimit.Named(name)
}
