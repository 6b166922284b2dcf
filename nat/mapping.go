package nat

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// Mapping is how a NAT maps one socket for different destinations (RFC 4787, section 4.1).
type Mapping string

// The mappings. If all servers asked share one address, EndpointIndependent only says that their ports do not matter.
const (
	UnknownMapping          Mapping = "unknown"
	NoMapping               Mapping = "none" // there is no NAT
	EndpointIndependent     Mapping = "endpoint-independent"
	AddressDependent        Mapping = "address-dependent"
	AddressAndPortDependent Mapping = "address-and-port-dependent"
)

// Symmetric reports whether the address that one destination sees is of no use to another.
func (m Mapping) Symmetric() bool { return m == AddressDependent || m == AddressAndPortDependent }

// Known reports whether m is one of the mappings. What another end claims may not be.
func (m Mapping) Known() bool {
	switch m {
	case UnknownMapping, NoMapping, EndpointIndependent, AddressDependent, AddressAndPortDependent:
		return true
	}
	return false
}

// Compare concludes from several servers' answers to one socket how the NAT maps it. here are this machine's addresses,
// with the socket's port.
func Compare(here []netip.AddrPort, answers []Binding) Mapping {
	natted, alike := false, true
	for _, b := range answers {
		natted = natted || !slices.Contains(here, b.Mapped)
		alike = alike && b.Mapped == answers[0].Mapped
	}

	switch {
	case len(answers) == 0:
		return UnknownMapping
	case !natted:
		return NoMapping
	case len(answers) == 1:
		return UnknownMapping
	case alike:
		return EndpointIndependent
	}

	for i, a := range answers {
		for _, b := range answers[:i] {
			if a.Server.Addr() == b.Server.Addr() && a.Mapped != b.Mapped {
				return AddressAndPortDependent
			}
		}
	}

	return AddressDependent
}

// Mapping asks all servers at once and compares their answers. here are this machine's addresses; see [Here].
func (s *Socket) Mapping(ctx context.Context, here []netip.Addr, servers []netip.AddrPort) (Mapping, []Binding) {
	answers := s.Bindings(ctx, servers)

	own := make([]netip.AddrPort, 0, len(here))
	for _, a := range here {
		own = append(own, netip.AddrPortFrom(a, s.Port()))
	}
	return Compare(own, answers), answers
}

// Here returns the addresses of this machine's interfaces.
func Here() (here []netip.Addr) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}

	for _, i := range interfaces {
		if n, ok := i.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				here = append(here, ip.Unmap())
			}
		}
	}

	return here
}
