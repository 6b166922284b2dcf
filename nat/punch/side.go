package punch

import (
	"net/netip"

	"github.com/peephole-cam/peephole/nat"
)

// Ports is how a NAT numbers one socket's mappings for several destinations.
type Ports string

// The ways of numbering.
const (
	Steady     Ports = "steady"     // one mapping for all destinations
	Sequential Ports = "sequential" // one for each, counted up
	Random     Ports = "random"     // one for each, not predictable
)

// maxStride is how much a count may rise from one mapping to the next.
const maxStride = 16

// Side is what one end tells the other about itself.
type Side struct {
	At     netip.AddrPort // where the world sees its socket; unless Steady, the latest mapping
	Ports  Ports
	Stride uint16 // how much the count rises from one mapping to the next; 0 unless Sequential
}

// Valid reports whether a side, perhaps claimed by the other end, can be used. Its address must be public: the other
// end must not be able to have probes sent into this end's own network.
func (s Side) Valid() bool {
	if !nat.Public(s.At.Addr()) || s.At.Port() < firstPort {
		return false
	}

	switch s.Ports {
	case Sequential:
		return s.Stride >= 1 && s.Stride <= maxStride
	case Steady, Random:
		return s.Stride == 0
	}

	return false
}

// numbering concludes from the ports of mappings, made one after the other, how the NAT numbers them.
func numbering(ports []uint16) (p Ports, stride uint16) {
	stride = maxStride + 1
	for i := 1; i < len(ports); i++ {
		step := ports[i] - ports[i-1] // wraps, as a NAT's count does
		if step == 0 || step > maxStride {
			return Random, 0
		}
		stride = min(stride, step)
	}

	if stride > maxStride { // too few ports to tell
		return Random, 0
	}
	return Sequential, stride
}

// role is an end's part in a run.
type role int

const (
	idle role = iota
	seeker
	spreader
)

// Possible reports whether guessing can bring two sides together.
func Possible(own, other Side) bool { return roles(own, other, true) != idle }

// roles returns the role of own. first, true at exactly one end, decides where both could do the same.
func roles(own, other Side, first bool) role {
	switch {
	case !own.Valid() || !other.Valid():
		return idle
	case own.Ports == Steady && other.Ports == Steady: // ICE alone can do that
		return idle
	case own.Ports == Steady:
		return seeker
	case other.Ports == Steady:
		return spreader
	case own.Ports == Random || other.Ports == Random:
		return idle
	case first:
		return seeker
	}
	return spreader
}
