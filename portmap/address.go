package portmap

import "net/netip"

// carrier is what carriers number their customers from (RFC 6598).
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// private says whether an address is one that a router translates.
func private(a netip.Addr) bool {
	return a.Is4() && (a.IsPrivate() || carrier.Contains(a))
}

// public says whether the world can reach an address.
func public(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !private(a) && a.As4()[0] != 0 && a.As4()[0] < 240
}
