package region

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

// probeTimeout bounds the probing of regions.
const probeTimeout = 3 * time.Second

// Probe measures the round trips to the regions' STUN servers, over IPv4 and IPv6, and returns when it is done. It
// calls found with each sample, one at a time; the least of a region's counts. A region that does not answer has none.
func Probe(ctx context.Context, regions []Region, found func(name string, roundTrip time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var probing sync.WaitGroup

	for network, is := range map[string]func(netip.Addr) bool{"udp4": netip.Addr.Is4, "udp6": netip.Addr.Is6} {
		socket, err := nat.Listen(network)
		if err != nil {
			continue // this device has no such network
		}
		defer socket.Close()

		for _, r := range regions {
			probing.Go(func() {
				probe(ctx, socket, r, is, func(roundTrip time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					found(r.Name, roundTrip)
				})
			})
		}
	}
	probing.Wait()
}

// probe takes samples of the round trip to a region's STUN server, by its first address of a family.
func probe(
	ctx context.Context,
	socket *nat.Socket,
	r Region,
	isOfFamily func(netip.Addr) bool,
	found func(time.Duration),
) {
	server, ok := lookUp(ctx, cmp.Or(r.STUN, r.TURN), isOfFamily)
	if !ok {
		return
	}
	for range samples {
		began := time.Now() // not when the request was last sent: the answer may be to an earlier one
		if _, err := socket.Bind(ctx, server); err != nil {
			return
		}
		found(time.Since(began))
	}
}

// lookUp returns the first address of a family that a server has.
func lookUp(ctx context.Context, hostport string, isOfFamily func(netip.Addr) bool) (netip.AddrPort, bool) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, false
	}

	for _, a := range addresses {
		if a = a.Unmap(); isOfFamily(a) {
			return netip.AddrPortFrom(a, uint16(n)), true
		}
	}
	return netip.AddrPort{}, false
}
