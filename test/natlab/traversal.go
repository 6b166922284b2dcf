//go:build linux

package natlab

// Traversable reports whether theory lets hosts behind a and b, each in a network of its own, exchange UDP packets
// without a relay: by candidates of their own and those that a STUN server shows them, both sending (ICE), without
// guessing ports.
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
	// A NAT with another port for each peer sends from a port that nobody knows; the other one's filter must not mind.
	return steadyA && steadyB || steadyA && a.Behaviour.Filtering != AddressAndPortDependent ||
		steadyB && b.Behaviour.Filtering != AddressAndPortDependent
}

// Guessable reports whether theory lets two kinds that are not Traversable do so by guessing ports (nat/punch). If a
// NAT has many mappings, one can be met by chance, or foreseen if ports count up, as long as the other end has a single
// address or one that can be foreseen too. This only works between IPv4 addresses of their own: behind a NAT64 nothing
// is guessed.
func Guessable(a, b Kind) bool {
	if Traversable(a, b) || !a.UDP || !b.UDP || !a.IPv4 || !b.IPv4 {
		return false
	}
	foreseen := func(k Kind) bool {
		return k.Behaviour.Mapping == EndpointIndependent || k.Behaviour.Ports == Sequential
	}
	return a.Behaviour.Mapping == EndpointIndependent || b.Behaviour.Mapping == EndpointIndependent ||
		foreseen(a) && foreseen(b)
}
