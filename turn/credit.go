package turn

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// What an address that has proved nothing is answered. A datagram's source may be forged, so that the answer hits who never
// asked: therefore answers to an address come to no more bytes than came from it, but for a first creditBurst and creditRate.
const (
	creditBurst = 2048 // bytes: some twenty answers, for clients that share an address
	creditRate  = 512  // bytes a second, for the many households that share the address of a carrier
	creditSlots = 1 << 16
)

// credit keeps what may still be answered to addresses. It is a table of fixed size, indexed by a keyed hash: a flood from
// forged addresses makes it no larger, and nobody can choose whom to share a slot with. Safe for concurrent use, without locks.
type credit struct {
	seed  maphash.Seed
	start time.Time
	slots []atomic.Uint64 // high half: bytes answered beyond what came; low half: the second, since start, in which that was so
}

func newCredit(now time.Time) *credit {
	return &credit{seed: maphash.MakeSeed(), start: now, slots: make([]atomic.Uint64, creditSlots)}
}

// creditLeast is hardly more than the longest answer to who has proved nothing.
const creditLeast = 100

// spent says whether an address has so little left that its requests are not worth a look. It counts nothing.
func (c *credit) spent(to netip.Addr, now time.Time) bool {
	was := c.at(to).Load()
	return int64(uint32(was>>32))-creditRate*c.since(was, now) > creditBurst-creditLeast
}

// at is an address' slot.
func (c *credit) at(a netip.Addr) *atomic.Uint64 {
	return &c.slots[maphash.Comparable(c.seed, Network(a))%creditSlots]
}

// since is how many seconds a slot has not changed.
func (c *credit) since(was uint64, now time.Time) int64 {
	return max(int64(now.Sub(c.start)/time.Second)-int64(uint32(was)), 0)
}

// spend says whether an answer of so many bytes may go to an address that sent a request of received bytes, and counts both.
func (c *credit) spend(to netip.Addr, received, answer int, now time.Time) bool {
	at := c.at(to)
	for {
		was := at.Load()
		since := c.since(was, now)
		owed := max(int64(uint32(was>>32))-int64(received)-creditRate*since, 0)
		pays := owed+int64(answer) <= creditBurst
		if pays {
			owed += int64(answer)
		}
		if at.CompareAndSwap(was, uint64(owed)<<32|uint64(uint32(was)+uint32(since))) {
			return pays
		}
	}
}

// Network is whose an address is, as limits see it: an IPv4 address and this machine's own stand for themselves, an IPv6 address for its /64.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || a.IsLoopback() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil { // no address at all
		return a
	}
	return p.Addr()
}
