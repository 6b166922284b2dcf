package punch

import (
	"net/netip"
)

// Ports is how a NAT numbers the mappings of one socket for several destinations.
type Ports string

// The ways.
const (
	Steady     Ports = "steady"     // one mapping for all
	Sequential Ports = "sequential" // a number of its own for each, counted up
	Random     Ports = "random"     // a number of its own for each
)

// maxStride is how much a count may rise from one mapping to the next.
const maxStride = 16

// Side is what one end tells the other of itself.
type Side struct {
	At     netip.AddrPort // where the world sees its socket, if Steady; else the latest mapping
	Ports  Ports
	Stride uint16 // of Sequential: by how much the count rises
}

// carrier is what carriers number their customers from (RFC 6598).
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// public says whether the world has an address: the other end is not to have probes sent into this end's own network.
func public(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() && !carrier.Contains(a) && a.As4()[0] != 0 && a.As4()[0] < 240
}

// Valid says whether a side can be used, which may come from another end.
func (s Side) Valid() bool {
	if !public(s.At.Addr()) || s.At.Port() < firstPort {
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

// numbering tells from the ports of mappings, made one after the other, how they are numbered.
func numbering(ports []uint16) (p Ports, stride uint16) {
	stride = maxStride + 1
	for i := 1; i < len(ports); i++ {
		step := ports[i] - ports[i-1] // after the last port comes one of the first
		if step == 0 || step > maxStride {
			return Random, 0
		}
		stride = min(stride, step)
	}
	if stride > maxStride { // too few
		return Random, 0
	}
	return Sequential, stride
}

// role is what an end does in a run.
type role int

const (
	idle role = iota
	seeker
	spreader
)

// Possible says whether two sides can be brought together by guessing.
func Possible(own, other Side) bool { return roles(own, other, true) != idle }

// roles says what own does. first tells the two ends apart where both could do the same.
func roles(own, other Side, first bool) role {
	switch {
	case !own.Valid() || !other.Valid():
		return idle
	case own.Ports == Steady && other.Ports == Steady: // that is ICE's
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
