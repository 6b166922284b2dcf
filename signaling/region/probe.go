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

// Probe measures the round trips to the regions' STUN servers over IPv4 and IPv6, and returns when it is done. It calls
// found with each sample, never concurrently. The least sample of a region counts; a silent region has none.
func Probe(ctx context.Context, regions []Region, found func(name string, roundTrip time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var probing sync.WaitGroup

	for _, version := range []string{"4", "6"} {
		socket, err := nat.Listen("udp" + version)
		if err != nil {
			continue // this device has no such network
		}
		defer socket.Close()

		for _, r := range regions {
			probing.Go(func() {
				probe(ctx, socket, r, version, func(roundTrip time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					found(r.Name, roundTrip)
				})
			})
		}
	}
	probing.Wait()
}

// probe samples the round trip to a region's STUN server, at its first address of one IP version.
func probe(
	ctx context.Context,
	socket *nat.Socket,
	r Region,
	version string, // of IP: "4" or "6"
	found func(time.Duration),
) {
	server, ok := lookUp(ctx, cmp.Or(r.STUN, r.TURN), version)
	if !ok {
		return
	}
	for range samples {
		began := time.Now() // Binding.Took counts from the last retransmission, but an earlier one may be answered
		if _, err := socket.Bind(ctx, server); err != nil {
			return
		}
		found(time.Since(began))
	}
}

// lookUp returns the first address of one IP version that a server has. A name does not lead to this machine.
func lookUp(ctx context.Context, hostport, version string) (netip.AddrPort, bool) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+version, host)
	if err != nil {
		return netip.AddrPort{}, false
	}

	literal := net.ParseIP(host) != nil
	for _, a := range addresses {
		if a = a.Unmap(); a.Is4() == (version == "4") && (literal || !a.IsLoopback()) {
			return netip.AddrPortFrom(a, uint16(n)), true
		}
	}
	return netip.AddrPort{}, false
}
