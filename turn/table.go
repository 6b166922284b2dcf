package turn

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
)

// clientKey is the address of a UDP client, an IPv4 one as it is mapped into IPv6.
type clientKey [18]byte

func keyOf(client netip.AddrPort) clientKey {
	var k clientKey
	ip, port := client.Addr().As16(), client.Port()
	copy(k[:], ip[:])
	k[16], k[17] = byte(port>>8), byte(port)
	return k
}

// table finds the allocation of a UDP client. Readers take no lock: each bucket is a list of atomic pointers, and what is
// taken out of a list still points to the rest of it, for who stands there. It never grows, since the number of allocations
// is bounded. The hash is keyed, so that nobody can choose addresses that share a bucket.
type table struct {
	seed    maphash.Seed
	buckets []atomic.Pointer[allocation]
}

func newTable(most int) *table {
	return &table{seed: maphash.MakeSeed(), buckets: make([]atomic.Pointer[allocation], 1<<bits.Len(uint(most-1)))}
}

func (t *table) bucket(k *clientKey) *atomic.Pointer[allocation] {
	return &t.buckets[maphash.Bytes(t.seed, k[:])&uint64(len(t.buckets)-1)]
}

// find returns the allocation of a client, nil if it has none.
func (t *table) find(client netip.AddrPort) *allocation {
	k := keyOf(client)
	a := t.bucket(&k).Load()
	for a != nil && a.key != k {
		a = a.next.Load()
	}
	return a
}

// add puts a in, where find sees it before an older one of the same client. It is called with relay.mu held, once for an
// allocation, and so is remove.
func (t *table) add(a *allocation, client netip.AddrPort) {
	a.key = keyOf(client)
	head := t.bucket(&a.key)
	a.next.Store(head.Load())
	head.Store(a)
}

func (t *table) remove(a *allocation) {
	for at := t.bucket(&a.key); at.Load() != nil; at = &at.Load().next {
		if at.Load() == a {
			at.Store(a.next.Load())
			return
		}
	}
}
