package punch

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// The budget; see the package comment.
const (
	perSecond     = 200
	randomSockets = 256
	countSockets  = 64 // if the NAT counts its ports up
	maxRuns       = 8  // at a time, in one role
	randomProbes  = 2048
	countProbes   = countSockets + ahead
	ahead         = 32 // mappings that other hosts behind the NAT may take meanwhile
	rounds        = 3  // of the same probes, in case some are lost
	maxReplies    = 64
	answers       = 8
	runFor        = 12 * time.Second

	firstPort = 1024
)

// after predicts a side's address n mappings from now.
func (s Side) after(n int) netip.AddrPort {
	port := (int(s.At.Port())-firstPort+n*int(s.Stride))%(1<<16-firstPort) + firstPort
	return netip.AddrPortFrom(s.At.Addr(), uint16(port))
}

// guesses returns the addresses for a seeker to probe, in order.
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

// target returns the address to which all of a spreader's sockets send. A seeker behind a NAT that counts sends each
// probe from the next port. So one of its probes leaves from the port ahead, however far the two counts have come, and
// its guesses run through the spreader's ports at about that time.
func target(seeker Side) netip.AddrPort {
	if seeker.Ports == Sequential {
		return seeker.after(ahead)
	}
	return seeker.At
}

// sockets returns how many sockets a spreader opens.
func sockets(own Side) int {
	if own.Ports == Sequential {
		return countSockets
	}
	return randomSockets
}
