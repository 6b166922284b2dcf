package nat

import "net/netip"

// carrierGrade is the range from which carriers number their customers (RFC 6598).
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// Private reports whether a is an IPv4 address that a router translates: one of RFC 1918 or RFC 6598.
func Private(a netip.Addr) bool {
	return a.Is4() && (a.IsPrivate() || carrierGrade.Contains(a))
}

// Public reports whether a is an IPv4 address that the world can reach.
func Public(a netip.Addr) bool {
	const reserved = 240 // 240.0.0.0/4, RFC 1112 section 4
	return a.Is4() && a.IsGlobalUnicast() && !Private(a) && a.As4()[0] != 0 && a.As4()[0] < reserved
}
