package doctor

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/peephole-cam/peephole/nat"
)

// behaviour is how the NAT in front of this machine behaves (RFC 4787), as found with the relays' UDP ports (RFC 5780).
type behaviour struct {
	family    string // the family it was tested over; empty: nothing answers
	asked     nat.Binding
	mapping   nat.Mapping
	answers   []nat.Binding
	filtering nat.Filtering
	hairpins  bool
	hairpin   error
}

// study finds out how the NAT behaves. The order of its questions matters: the filtering test needs servers to which
// nothing was sent before.
func study(ctx context.Context, all []*udp) (b behaviour) {
	b.mapping, b.filtering = nat.UnknownMapping, nat.UnknownFiltering
	first, family := firstAnswering(all)
	if first == nil {
		return b
	}

	b.family = family
	s, err := nat.Listen("udp" + family)
	if err != nil {
		return b
	}
	defer s.Close()
	second, err := nat.Listen("udp" + family)
	if err != nil {
		return b
	}
	defer second.Close()

	if b.asked, err = s.Bind(ctx, first.main[family]); err != nil {
		return b
	}
	near, far := first.answeringSecond(family), secondPortElsewhere(all, first, family)
	if filtering, err := s.Filtering(ctx, second, b.asked, near, far); err == nil {
		b.filtering = filtering
	}
	b.hairpins, b.hairpin = s.Hairpins(ctx, second, b.asked.Mapped)
	b.mapping, b.answers = s.Mapping(ctx, nat.Here(), answeringPorts(all, family))
	return b
}

// firstAnswering returns a relay that answers, and over which family. It prefers one whose second port answers too. It
// returns nil if none answers.
func firstAnswering(all []*udp) (first *udp, family string) {
	for _, family := range families {
		for _, u := range all {
			_, main := u.answers[family]
			_, second := u.seconds[family]
			if main && second {
				return u, family
			}
			if main && first == nil {
				first = u
			}
		}
		if first != nil {
			return first, family
		}
	}
	return nil, ""
}

// answeringSecond returns a relay's second port, if that answers.
func (u *udp) answeringSecond(family string) netip.AddrPort {
	if _, ok := u.seconds[family]; ok {
		return u.second[family]
	}
	return netip.AddrPort{}
}

// secondPortElsewhere returns an answering second port of a relay at another address than first's.
func secondPortElsewhere(all []*udp, first *udp, family string) netip.AddrPort {
	for _, u := range all {
		if at := u.answeringSecond(family); at.IsValid() && at.Addr() != first.main[family].Addr() {
			return at
		}
	}
	return netip.AddrPort{}
}

// answeringPorts returns all ports that answer.
func answeringPorts(all []*udp, family string) (ports []netip.AddrPort) {
	for _, u := range all {
		if _, ok := u.answers[family]; ok {
			ports = append(ports, u.main[family])
		}
		if at := u.answeringSecond(family); at.IsValid() {
			ports = append(ports, at)
		}
	}
	return ports
}

// checkMapping tells how the NAT maps. opened reports whether the router opens ports, which makes up for a mapping that
// depends on the destination.
func (b behaviour) checkMapping(opened bool) Finding {
	f := Finding{Check: "mapping"}
	for _, a := range b.answers {
		f.Addresses = append(f.Addresses, fmt.Sprintf("%s seen by %s", a.Mapped, a.Server))
	}

	mapping := string(b.mapping)
	switch {
	case b.family == "":
		return f.conclude(Unknown, mapping, "no UDP gets through to test with")
	case b.mapping == nat.NoMapping:
		return f.conclude(OK, mapping, "there is no NAT in front of this machine")
	case b.mapping == nat.EndpointIndependent:
		return f.conclude(OK, mapping,
			"the NAT gives a port one outside address for all destinations: direct paths work")
	case b.mapping.Symmetric() && opened:
		return f.conclude(OK, mapping, "the NAT is symmetric, but the router opens ports, which makes up for it")
	case b.mapping.Symmetric():
		return f.conclude(Bad, mapping, "the NAT is symmetric (a different outside address for each destination), "+
			"so most pictures are relayed: turn on UPnP, NAT-PMP or PCP in the router, or IPv6, or full cone NAT")
	}
	return f.conclude(Unknown, mapping,
		"one answer is not enough to tell: it takes a relay with two UDP ports, or a second relay (-relay URL)")
}

// checkFiltering tells what the NAT lets in.
func (b behaviour) checkFiltering() Finding {
	f := Finding{Check: "filtering"}
	filtering := string(b.filtering)
	switch b.filtering {
	case nat.OpenFiltering:
		return f.conclude(OK, filtering, "an open port receives from anywhere: the other end may have any NAT")
	case nat.AddressFiltering:
		return f.conclude(OK, filtering,
			"an address that was sent to may answer from any port: the other end may have a symmetric NAT")
	case nat.AddressAndPortFiltering:
		return f.conclude(OK, filtering, "only answers get in: this is usual, "+
			"and fine for direct paths unless the other end's NAT is symmetric")
	}
	return f.conclude(Unknown, filtering,
		"testing this takes a relay with two UDP ports or, better, two relays (-relay URL)")
}

// checkHairpin tells whether the NAT hairpins.
func (b behaviour) checkHairpin() Finding {
	f := Finding{Check: "hairpin"}
	switch {
	case b.family == "" || b.hairpin != nil || b.asked.Mapped == (netip.AddrPort{}):
		return f.conclude(Unknown, "unknown", "no UDP gets through to test with")
	case b.mapping == nat.NoMapping:
		return f.conclude(OK, "none", "not needed: there is no NAT")
	case b.hairpins:
		return f.conclude(OK, "yes", "devices behind this router reach each other at their outside addresses")
	}
	return f.conclude(OK, "no", "no hairpinning: devices behind this router connect by their inside addresses")
}
