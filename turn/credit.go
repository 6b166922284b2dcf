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

// spend says whether an answer of so many bytes may go to an address that sent a request of received bytes, and counts both.
func (c *credit) spend(to netip.Addr, received, answer int, now time.Time) bool {
	at := &c.slots[maphash.Comparable(c.seed, network(to))%creditSlots]
	seconds := uint32(max(now.Sub(c.start)/time.Second, 0))
	for {
		was := at.Load()
		owed, since := int64(uint32(was>>32)), uint32(was)
		owed -= int64(received)
		if seconds > since {
			owed -= creditRate * int64(seconds-since)
		}
		owed = max(owed, 0)
		pays := owed+int64(answer) <= creditBurst
		if pays {
			owed += int64(answer)
		}
		if at.CompareAndSwap(was, uint64(owed)<<32|uint64(max(seconds, since))) {
			return pays
		}
	}
}

// network is whose an address is, as limits see it: an IPv4 address stands for itself, an IPv6 address for its /64.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil { // no address at all
		return a
	}
	return p.Addr()
}
