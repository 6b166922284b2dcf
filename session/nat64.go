package session

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
)

// nat64 is the prefix by which IPv4 addresses are reached from a network that has IPv6 alone (RFC 6052, section 2.1); the zero
// Prefix: there is none, or none is needed. It makes no candidates of its own: a socket of such a network, asked how the relay's
// STUN server sees it by IPv4, has a server reflexive candidate of IPv4, and hostConn translates what goes there and comes from there.
type nat64 struct{ netip.Prefix }

const (
	nat64Bits = 96 // RFC 6052 allows shorter ones, which nobody has
	nat64Wait = 500 * time.Millisecond
)

// wellKnown are the addresses of ipv4only.arpa (RFC 7050, section 2.2).
var wellKnown = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// findNAT64 asks the network's DNS64 for its prefix (RFC 7050), if this machine has no IPv4 address.
func findNAT64(ctx context.Context) nat64 {
	if slices.ContainsFunc(nat.Here(), func(a netip.Addr) bool { return a.Is4() && a.IsGlobalUnicast() }) {
		return nat64{}
	}
	ctx, cancel := context.WithTimeout(ctx, nat64Wait)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip6", "ipv4only.arpa")
	if err != nil {
		return nat64{}
	}
	return prefixOf(found)
}

// prefixOf is the prefix of the first address that stands for one of ipv4only.arpa's.
func prefixOf(found []netip.Addr) nat64 {
	for _, a := range found {
		p := nat64{netip.PrefixFrom(a, nat64Bits).Masked()}
		if !a.Is4In6() && a.Is6() && slices.Contains(wellKnown, p.embedded(a)) {
			return p
		}
	}
	return nat64{}
}

// synthesized is an IPv4 address as this network reaches it.
func (p nat64) synthesized(a netip.Addr) netip.Addr {
	b, a4 := p.Addr().As16(), a.As4()
	copy(b[nat64Bits/8:], a4[:])
	return netip.AddrFrom16(b)
}

// embedded is the opposite.
func (p nat64) embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[nat64Bits/8:]))
}

// stun names the relay's STUN server by its IPv4 address, which a socket of IPv6 can ask then too (turnNet.ResolveUDPAddr).
func (p nat64) stun(ctx context.Context, urls []string) []string {
	if !p.IsValid() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nat64Wait)
	defer cancel()
	for _, at := range stunServers(ctx, urls) {
		return []string{"stun:" + at.String()}
	}
	return nil
}

// outward is where a packet to an address has to go from a socket of IPv6.
func (p nat64) outward(to net.Addr) net.Addr {
	udp, ok := to.(*net.UDPAddr)
	if !ok || !p.IsValid() || !udp.AddrPort().Addr().Unmap().Is4() {
		return to
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.synthesized(udp.AddrPort().Addr().Unmap()), udp.AddrPort().Port()))
}

// inward is whom a packet came from.
func (p nat64) inward(from net.Addr) net.Addr {
	udp, ok := from.(*net.UDPAddr)
	if !ok || !p.IsValid() || !p.Contains(udp.AddrPort().Addr()) {
		return from
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.embedded(udp.AddrPort().Addr()), udp.AddrPort().Port()))
}
