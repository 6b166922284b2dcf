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
	issuers   *netlimit.Pool // nil: no limit
}

// lease is a place among all allocations. The zero lease is one that no limit applies to.
type lease struct{ owners, issuers *netlimit.Lease }

func (l lease) release() {
	if l.owners != nil {
		l.owners.Release()
	}
	if l.issuers != nil {
		l.issuers.Release()
	}
}

func newAllocationPools(l *Limits) allocationPools {
	return allocationPools{
		limits:    l,
		payers:    newPool(l.Payers),
		addresses: newPool(l.Addresses),
		issuers:   newPool(l.Issuers),
	}
}

func newPool(c netlimit.Config) *netlimit.Pool {
	if c.Size == 0 {
		return nil
	}
	return netlimit.NewPool(c)
}

// lease leases a place for an allocation that a client makes with a credential of a region. It returns errQuota.
func (p *allocationPools) lease(u username, by *region, client netip.Addr) (taken lease, err error) {
	who := payerOf(u, client)
	pool := p.addresses
	switch {
	case who.IsNamed():
		pool = p.payers
	case p.limits.unlimited(client):
		pool = nil
	}

	if by != nil {
		if taken.issuers, err = acquire(p.issuers, netlimit.Named([16]byte(by.key[:]))); err != nil {
			return lease{}, err
		}
	}
	if taken.owners, err = acquire(pool, who); err != nil {
		taken.release()
		return lease{}, err
	}
	return taken, nil
}

// acquire leases one place of a pool, if there is one. It returns errQuota.
func acquire(pool *netlimit.Pool, who netlimit.Payer) (*netlimit.Lease, error) {
	if pool == nil {
		return nil, nil
	}
	l, err := pool.Acquire(who, 1)
	if err != nil {
		return nil, errQuota
	}
	return l, nil
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
