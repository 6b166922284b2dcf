//go:build linux

package natlab

// Traversable reports whether theory lets hosts behind a and b, each in a network of its own, talk over UDP without a relay:
// by candidates of their own and those that a STUN server shows them, both sending (ICE), with no guessing of ports.
func Traversable(a, b Kind) bool {
	switch {
	case !a.UDP || !b.UDP:
		return false
	case a.IPv6 && b.IPv6:
		return true
	case !(a.IPv4 || a.NAT64) || !(b.IPv4 || b.NAT64):
		return false
	}
	steadyA, steadyB := a.Behaviour.Mapping == EndpointIndependent, b.Behaviour.Mapping == EndpointIndependent
	// Who has another port for each peer comes from one that nobody knows; the other one's filter must not mind it.
	return steadyA && steadyB || steadyA && a.Behaviour.Filtering != AddressAndPortDependent || steadyB && b.Behaviour.Filtering != AddressAndPortDependent
}
