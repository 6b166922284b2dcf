package turn

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
)

// clientKey is the address of a UDP client; an IPv4 address is mapped into IPv6.
type clientKey [18]byte

func keyOf(client netip.AddrPort) clientKey {
	var k clientKey
	ip, port := client.Addr().As16(), client.Port()
	copy(k[:], ip[:])
	k[16], k[17] = byte(port>>8), byte(port)
	return k
}

// clientTable finds the allocation of a UDP client. Readers take no lock: each bucket is a list of atomic pointers, and
// an allocation removed from a list still points to the rest of it, for a reader that is there. The table never grows,
// since the number of allocations is bounded. The hash is keyed, so that nobody can choose addresses that share a
// bucket.
type clientTable struct {
	seed    maphash.Seed
	buckets []atomic.Pointer[allocation]
}

func newClientTable(capacity int) *clientTable {
	return &clientTable{
		seed:    maphash.MakeSeed(),
		buckets: make([]atomic.Pointer[allocation], 1<<bits.Len(uint(capacity-1))),
	}
}

func (t *clientTable) bucket(k *clientKey) *atomic.Pointer[allocation] {
	return &t.buckets[maphash.Bytes(t.seed, k[:])&uint64(len(t.buckets)-1)]
}

// lookup returns the allocation of a client, nil if it has none.
func (t *clientTable) lookup(client netip.AddrPort) *allocation {
	k := keyOf(client)
	a := t.bucket(&k).Load()
	for a != nil && a.key != k {
		a = a.next.Load()
	}
	return a
}

// insert puts an allocation where lookup sees it before an older one of the same client. relay.mu must be held. It is
// called once for an allocation, and so is remove.
func (t *clientTable) insert(a *allocation, client netip.AddrPort) {
	a.key = keyOf(client)
	head := t.bucket(&a.key)
	a.next.Store(head.Load())
	head.Store(a)
}

// remove takes an allocation out. relay.mu must be held.
func (t *clientTable) remove(a *allocation) {
	for at := t.bucket(&a.key); at.Load() != nil; at = &at.Load().next {
		if at.Load() == a {
			at.Store(a.next.Load())
			return
		}
	}
}
