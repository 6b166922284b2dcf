package turn

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// The anti-amplification limit for addresses that have not shown a password. Many households may share the address of
// a carrier.
const (
	// A datagram's source may be forged, so that the answer hits somebody who never asked. Therefore answers to an
	// address come to no more bytes than came from it, plus a first amplificationBurst (some twenty answers) and
	// amplificationRate a second.
	amplificationBurst, amplificationRate = 2048, 512

	// amplificationReserve is what an address must have left for its request to be handled, in bytes: slightly more
	// than the longest answer without a password.
	amplificationReserve = 100

	meterSlots = 1 << 16
)

// amplificationFolds is how many times as much a /56 and a /48 may have as a /64.
var amplificationFolds = [netlimit.Levels]uint32{1, 16, 256}

// meter counts how much of something addresses have had. Each may have a burst at once, and a rate a second from then
// on. It is a table of fixed size, indexed by a keyed hash: a flood from forged addresses does not make it larger, and
// nobody can choose whom to share a slot with. An IPv6 address counts for its /64, its /56 and its /48. A meter is safe
// for concurrent use, without locks.
type meter struct {
	burst, rate uint32
	folds       [netlimit.Levels]uint32
	seed        maphash.Seed
	start       time.Time
	slots       []atomic.Uint64 // high half: the amount used; low half: as of which second since start
}

func newMeter(burst, rate uint32, folds [netlimit.Levels]uint32, now time.Time) *meter {
	return &meter{
		burst: burst,
		rate:  rate,
		folds: folds,
		seed:  maphash.MakeSeed(),
		start: now,
		slots: make([]atomic.Uint64, meterSlots),
	}
}

// newAmplificationLimit returns a meter of the bytes that we answer.
func newAmplificationLimit(now time.Time) *meter {
	return newMeter(amplificationBurst, amplificationRate, amplificationFolds, now)
}

// used returns how much of a slot's amount is still used now, at a fold, and how many seconds after the slot's own time
// now is.
func (m *meter) used(slot uint64, fold int, now time.Time) (used, since int64) {
	since = max(int64(now.Sub(m.start)/time.Second)-int64(uint32(slot)), 0)
	return max(int64(uint32(slot>>32))-int64(m.rate)*int64(m.folds[fold])*since, 0), since
}

// slot returns the slot of a network. Networks of different sizes that begin alike have different slots.
func (m *meter) slot(network netip.Prefix) *atomic.Uint64 {
	return &m.slots[maphash.Comparable(m.seed, network)%meterSlots]
}

// canSpend reports whether an address may have an amount, given how much came from it. It counts nothing.
func (m *meter) canSpend(a netip.Addr, gave, amount int, now time.Time) bool {
	for fold, network := range netlimit.Folds(a) {
		if fold > 0 && !network.IsValid() {
			break
		}
		used, _ := m.used(m.slot(network).Load(), fold, now)
		if max(used-int64(gave), 0)+int64(amount) > m.capacity(fold) {
			return false
		}
	}
	return true
}

// spend reports whether an address may have an amount. It always counts what came from the address, and counts the
// amount if the address may have it.
func (m *meter) spend(a netip.Addr, gave, amount int, now time.Time) bool {
	may := m.canSpend(a, gave, amount, now)
	for fold, network := range netlimit.Folds(a) {
		if fold > 0 && !network.IsValid() {
			break
		}
		if !may {
			amount = 0
		}
		may = m.spendFold(network, fold, gave, amount, now) && may // others may have been faster
	}
	return may
}

// spendFold does the work of spend at one fold.
func (m *meter) spendFold(network netip.Prefix, fold, gave, amount int, now time.Time) bool {
	slot := m.slot(network)
	for {
		was := slot.Load()
		used, since := m.used(was, fold, now)
		used = max(used-int64(gave), 0)
		may := used+int64(amount) <= m.capacity(fold)
		if may {
			used += int64(amount)
		}
		if slot.CompareAndSwap(was, uint64(used)<<32|uint64(uint32(was)+uint32(since))) {
			return may
		}
	}
}

// capacity returns how much a network may have at once.
func (m *meter) capacity(fold int) int64 { return int64(m.burst) * int64(m.folds[fold]) }
