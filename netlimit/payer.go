package netlimit

import "net/netip"

// levels is how many networks an IPv6 address is counted by, the finest first.
const levels = 3

// Levels is the same, for callers that keep their own counts.
const Levels = levels

// Lengths of the prefixes that an IPv6 address is counted by.
const (
	hostBits    = 64 // one link: a host can take any address in it
	siteBits    = 56 // what a provider gives a household
	networkBits = 48 // what a provider gives a company, or anybody who asks
)

// Fold returns the network that an address counts as in every limit. For an IPv4 address, also one mapped into IPv6, it
// is the address itself; for any other IPv6 address it is the /64, whatever the zone. All invalid addresses count as
// one, the zero Prefix.
func Fold(addr netip.Addr) netip.Prefix {
	return fold(addr, hostBits)
}

// Folds returns all networks that an address is counted by, the finest first: see Fold and PayerOf. An IPv4 address has
// one; the others are the zero Prefix.
func Folds(addr netip.Addr) (all [Levels]netip.Prefix) {
	all[0] = Fold(addr)
	if all[0].IsValid() && all[0].Addr().Is6() {
		all[1], all[2] = fold(addr, siteBits), fold(addr, networkBits)
	}
	return all
}

func fold(addr netip.Addr, bits int) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		bits = addr.BitLen()
	}

	// Prefix fails only for an invalid address, and then returns the zero Prefix.
	network, _ := addr.Prefix(bits)
	return network
}

// key names a payer at one level: the address of a network and its kind, or a name.
type key struct {
	id   [16]byte
	kind kind
}

type kind uint8

const (
	kindUnknown kind = iota // invalid addresses, which count as one payer
	kindIPv4
	kindHost
	kindSite
	kindNetwork
	kindNamed
	kindOthers // all payers for whom there was no place
	kinds
)

// Payer is whom an amount is charged to. The zero Payer is that of all invalid addresses.
type Payer struct {
	keys [levels]key // the finest first
	n    int
}

// PayerOf returns the payer that an address counts as: the address itself for IPv4; the /64, the /56 and the /48 for
// IPv6.
func PayerOf(addr netip.Addr) Payer {
	host := Fold(addr)
	switch {
	case !host.IsValid():
		return Payer{}
	case host.Addr().Is4():
		return Payer{keys: [levels]key{{id: host.Addr().As16(), kind: kindIPv4}}, n: 1}
	}

	return Payer{
		keys: [levels]key{
			{id: host.Addr().As16(), kind: kindHost},
			{id: fold(addr, siteBits).Addr().As16(), kind: kindSite},
			{id: fold(addr, networkBits).Addr().As16(), kind: kindNetwork},
		},
		n: levels,
	}
}

// Named returns the payer of a name that clients cannot choose, such as a ticket's. It is counted at one level.
func Named(id [16]byte) Payer {
	return Payer{keys: [levels]key{{id: id, kind: kindNamed}}, n: 1}
}

// IsNamed reports whether a payer was made by Named.
func (p Payer) IsNamed() bool { return p.n == 1 && p.keys[0].kind == kindNamed }

// path returns the keys of a payer, the finest first.
func (p Payer) path() []key {
	if p.n == 0 {
		return []key{{kind: kindUnknown}}
	}
	return p.keys[:p.n]
}
