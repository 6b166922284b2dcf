package turnclient

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// nat64 is the prefix with which a network that has only IPv6 reaches IPv4 addresses (RFC 6052, section 2.1). The zero
// Prefix means that there is none, or that none is needed. nat64 makes no candidates of its own: a socket in such a
// network asks the relay's STUN server by its IPv4 address and gets an IPv4 server reflexive candidate, and hostConn
// translates the addresses of what the socket sends and receives.
type nat64 struct{ netip.Prefix }

const (
	nat64Bits = 96 // RFC 6052 allows shorter prefixes, which nobody uses
	nat64Wait = 500 * time.Millisecond
)

// wellKnown are the addresses of ipv4only.arpa (RFC 7050, section 2.2).
var wellKnown = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// findNAT64 asks the network's DNS64 for its prefix (RFC 7050) if this machine reaches the internet only over IPv6. It
// looks at routes, because an IPv4 address proves nothing: container bridges have one everywhere.
func findNAT64(ctx context.Context) nat64 {
	if SourceTo("udp4", worldIPv4).IsValid() || !SourceTo("udp6", worldIPv6).IsValid() {
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

// prefixOf returns the prefix of the first address that embeds an address of ipv4only.arpa.
func prefixOf(found []netip.Addr) nat64 {
	for _, a := range found {
		p := nat64{netip.PrefixFrom(a, nat64Bits).Masked()}
		if !a.Is4In6() && a.Is6() && slices.Contains(wellKnown, p.embedded(a)) {
			return p
		}
	}
	return nat64{}
}

// synthesized returns the IPv6 address by which this network reaches an IPv4 address.
func (p nat64) synthesized(a netip.Addr) netip.Addr {
	b, a4 := p.Addr().As16(), a.As4()
	copy(b[nat64Bits/8:], a4[:])
	return netip.AddrFrom16(b)
}

// embedded returns the IPv4 address that a synthesized address embeds.
func (p nat64) embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[nat64Bits/8:]))
}

// stun returns the URL of the relay's STUN server with its IPv4 address, so that an IPv6 socket can ask it too
// (agentNet.ResolveUDPAddr).
func (p nat64) stun(ctx context.Context, urls []string) []string {
	if !p.IsValid() {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, nat64Wait)
	defer cancel()
	for _, at := range STUNServers(ctx, urls) {
		return []string{"stun:" + at.String()}
	}
	return nil
}

// outward returns the address to which an IPv6 socket must send a packet for an address.
func (p nat64) outward(to net.Addr) net.Addr {
	udp, ok := to.(*net.UDPAddr)
	if !ok || !p.IsValid() || !udp.AddrPort().Addr().Unmap().Is4() {
		return to
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.synthesized(udp.AddrPort().Addr().Unmap()),
		udp.AddrPort().Port()))
}

// inward returns the address from which a packet came, with NAT64 undone.
func (p nat64) inward(from net.Addr) net.Addr {
	udp, ok := from.(*net.UDPAddr)
	if !ok || !p.IsValid() || !p.Contains(udp.AddrPort().Addr()) {
		return from
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.embedded(udp.AddrPort().Addr()), udp.AddrPort().Port()))
}
