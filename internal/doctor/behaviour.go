package doctor

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/peephole-cam/peephole/internal/nat"
)

// behaviour is what the NAT here does, as the relays' UDP ports see it (RFC 4787, found as in RFC 5780).
type behaviour struct {
	family    string // over which it was asked; empty: nothing answers
	asked     nat.Binding
	mapping   nat.Mapping
	answers   []nat.Binding
	filtering nat.Filtering
	hairpins  bool
	hairpin   error
}

// study asks, in an order that matters: who is to be a stranger must not have been sent to.
func study(ctx context.Context, all []*udp) (b behaviour) {
	b.mapping, b.filtering = nat.UnknownMapping, nat.UnknownFiltering
	first := (*udp)(nil)
	for _, family := range families {
		for _, u := range all {
			_, main := u.answers[family]
			_, second := u.seconds[family]
			if main && (first == nil || second && b.family == family && first.seconds[family] == (nat.Binding{})) { // one with two ports rather than one
				first, b.family = u, family
			}
		}
		if first != nil {
			break
		}
	}
	if first == nil {
		return b
	}
	s, err := nat.Listen("udp" + b.family)
	if err != nil {
		return b
	}
	defer s.Close()
	second, err := nat.Listen("udp" + b.family)
	if err != nil {
		return b
	}
	defer second.Close()
	if b.asked, err = s.Bind(ctx, first.main[b.family]); err != nil {
		return b
	}
	near, far := answering(first, b.family), elsewhere(all, first, b.family)
	if filtering, err := s.Filtering(ctx, second, b.asked, near, far); err == nil {
		b.filtering = filtering
	}
	b.hairpins, b.hairpin = s.Hairpins(ctx, second, b.asked.Mapped)
	b.mapping, b.answers = s.Mapping(ctx, nat.Here(), ports(all, b.family))
	return b
}

// answering is a relay's second port, if it answers.
func answering(u *udp, family string) netip.AddrPort {
	if _, ok := u.seconds[family]; ok {
		return u.second[family]
	}
	return netip.AddrPort{}
}

// elsewhere is the second port of a relay at another address.
func elsewhere(all []*udp, first *udp, family string) netip.AddrPort {
	for _, u := range all {
		if at := answering(u, family); at.IsValid() && at.Addr() != first.main[family].Addr() {
			return at
		}
	}
	return netip.AddrPort{}
}

// ports are all that answer.
func ports(all []*udp, family string) (servers []netip.AddrPort) {
	for _, u := range all {
		if _, ok := u.answers[family]; ok {
			servers = append(servers, u.main[family])
		}
		if at := answering(u, family); at.IsValid() {
			servers = append(servers, at)
		}
	}
	return servers
}

// mapped says how the NAT maps. opened: the router opens ports, which makes up for a mapping that depends on the destination.
func (b behaviour) mapped(opened bool) Finding {
	f := Finding{Check: "mapping", Verdict: OK, Value: string(b.mapping)}
	for _, a := range b.answers {
		f.Addresses = append(f.Addresses, fmt.Sprintf("%s seen by %s", a.Mapped, a.Server))
	}
	switch {
	case b.family == "":
		f.Verdict, f.Text = Unknown, "no UDP gets through to ask by"
	case b.mapping == nat.NoMapping:
		f.Text = "there is no NAT in front of this machine"
	case b.mapping == nat.EndpointIndependent:
		f.Text = "the NAT gives a port one outside address for all: holes can be punched"
	case b.mapping.Symmetric() && opened:
		f.Text = "the NAT is symmetric, but the router opens ports, which makes up for it"
	case b.mapping.Symmetric():
		f.Verdict = Bad
		f.Text = "the NAT is symmetric, another outside address for each destination: with most networks pictures are relayed; turn on UPnP, NAT-PMP or PCP in the router, or IPv6, or its full cone NAT"
	default:
		f.Verdict, f.Text = Unknown, "one answer does not tell: a second UDP port of the relay, or a second relay, would (-relay URL)"
	}
	return f
}

// filtered says what the NAT lets in.
func (b behaviour) filtered() Finding {
	f := Finding{Check: "filtering", Verdict: OK, Value: string(b.filtering)}
	switch b.filtering {
	case nat.OpenFiltering:
		f.Text = "what comes from anywhere gets in to an open port: the other end may have any NAT"
	case nat.AddressFiltering:
		f.Text = "answers get in from addresses that were sent to, at any port: the other end may have a symmetric NAT"
	case nat.AddressAndPortFiltering:
		f.Text = "only answers get in: usual, and good for direct paths unless the other end's NAT is symmetric"
	default:
		f.Verdict, f.Text = Unknown, "it takes a relay with two UDP ports, better two relays (-relay URL), to find out"
	}
	return f
}

// looped says whether the NAT hairpins.
func (b behaviour) looped() Finding {
	f := Finding{Check: "hairpin", Verdict: OK, Value: "no", Text: "none; two devices behind this router meet by their inside addresses"}
	switch {
	case b.family == "" || b.hairpin != nil || b.asked.Mapped == (netip.AddrPort{}):
		f.Verdict, f.Value, f.Text = Unknown, "unknown", "no UDP gets through to ask by"
	case b.mapping == nat.NoMapping:
		f.Value, f.Text = "none", "not needed: there is no NAT"
	case b.hairpins:
		f.Value, f.Text = "yes", "devices behind this router reach each other at their outside addresses"
	}
	return f
}
