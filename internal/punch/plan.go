package punch

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// The budget; see the package's comment.
const (
	perSecond     = 200
	randomSockets = 256
	countSockets  = 64 // where the ports are counted
	maxRuns       = 8  // of a role, at one time
	randomProbes  = 2048
	countProbes   = countSockets + ahead
	ahead         = 32 // how many mappings others behind the same NAT may take meanwhile
	rounds        = 3  // of the same probes, for those that are lost
	maxReplies    = 64
	answers       = 8
	runFor        = 12 * time.Second

	firstPort = 1024
)

// after is a side's port n mappings from now, as far as it can be foreseen.
func (s Side) after(n int) netip.AddrPort {
	port := (int(s.At.Port())-firstPort+n*int(s.Stride))%(1<<16-firstPort) + firstPort
	return netip.AddrPortFrom(s.At.Addr(), uint16(port))
}

// guesses are the addresses that a seeker probes, in order.
func guesses(other Side) []netip.AddrPort {
	if other.Ports == Sequential {
		all := make([]netip.AddrPort, 0, countProbes)
		for n := 1; n <= countProbes; n++ {
			all = append(all, other.after(n))
		}
		return all
	}
	all := make([]netip.AddrPort, 0, randomProbes)
	for _, n := range rand.Perm(1<<16 - firstPort)[:randomProbes] {
		all = append(all, netip.AddrPortFrom(other.At.Addr(), uint16(firstPort+n)))
	}
	return all
}

// target is where all sockets of a spreader send. A seeker whose NAT counts sends each probe from another port: one of them comes from
// the port that is ahead, whatever the two counts have become, and the seeker's guesses at that moment go through the spreader's ports.
func target(seeker Side) netip.AddrPort {
	if seeker.Ports == Sequential {
		return seeker.after(ahead)
	}
	return seeker.At
}

// sockets is how many a spreader opens.
func sockets(own Side) int {
	if own.Ports == Sequential {
		return countSockets
	}
	return randomSockets
}
