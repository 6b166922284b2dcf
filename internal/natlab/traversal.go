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

// Guessable reports whether theory lets them talk all the same, where they are not Traversable, by guessing ports (internal/punch): of a NAT whose
// mappings are many, one can be met by chance, or foreseen where they are counted up, as long as the other end's address is one or can be
// foreseen too. Over IPv4 of their own alone: behind a NAT64 nothing is guessed.
func Guessable(a, b Kind) bool {
	if Traversable(a, b) || !a.UDP || !b.UDP || !a.IPv4 || !b.IPv4 {
		return false
	}
	foreseen := func(k Kind) bool {
		return k.Behaviour.Mapping == EndpointIndependent || k.Behaviour.Ports == Sequential
	}
	return a.Behaviour.Mapping == EndpointIndependent || b.Behaviour.Mapping == EndpointIndependent || foreseen(a) && foreseen(b)
}
