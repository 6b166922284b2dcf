package session

import (
	"net/netip"
	"strings"

	"github.com/pion/webrtc/v4"
)

// Rung is one of the ways a session's media can take, as far as its quality goes.
type Rung string

// The rungs. A relayed one is named by the worse of both ends' ways to the relay.
const (
	LAN      Rung = "lan"    // both ends are on one network
	IPv6     Rung = "ipv6"   // from network to network
	Direct   Rung = "direct" // over IPv4, from network to network
	RelayUDP Rung = "relay-udp"
	RelayTCP Rung = "relay-tcp"
	RelayTLS Rung = "relay-tls"
)

// ladder is all of them, best first.
var ladder = []Rung{LAN, IPv6, Direct, RelayUDP, RelayTCP, RelayTLS}

// relayed says whether a rung goes through the relay.
func (r Rung) relayed() bool { return strings.HasPrefix(string(r), "relay-") }

// candidate is what an explanation looks at in a candidate, of either end.
type candidate struct {
	typ      webrtc.ICECandidateType
	tcp      bool
	address  string
	port     int
	relayWay string // the way to the relay of a relay candidate of this end: udp, tcp or tls
}

// ip is the zero Addr for a name: browsers hide host addresses behind names of multicast DNS.
func (c candidate) ip() netip.Addr {
	ip, err := netip.ParseAddr(c.address)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// kind is the candidate's type and address family, "host4", and nothing that tells whose it is.
func (c candidate) kind() string {
	kind := c.typ.String()
	if c.tcp {
		kind += "-tcp"
	}
	switch ip := c.ip(); {
	case !ip.IsValid():
		return kind
	case ip.Is4():
		return kind + "4"
	}
	return kind + "6"
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// public says whether an address is good from anywhere.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierGrade.Contains(a)
}

// rungOf says what a pair of candidates would be; empty for a pair that cannot work, of a relayed address and one outside the
// relay. ours are this end's candidates.
func rungOf(local, remote candidate, ours []candidate) Rung {
	relay := webrtc.ICECandidateTypeRelay
	switch {
	case local.typ == relay && remote.typ == relay:
		return RelayUDP.over(local.relayWay)
	case local.typ == relay || remote.typ == relay:
		return ""
	case oneNetwork(local, remote, ours):
		return LAN
	case local.ip().Is6() || remote.ip().Is6():
		return IPv6
	}
	return Direct
}

// over is the relayed rung whose worst way to the relay is way or the rung's own.
func (r Rung) over(way string) Rung {
	switch {
	case way == "tls" || r == RelayTLS:
		return RelayTLS
	case way == "tcp" || r == RelayTCP:
		return RelayTCP
	}
	return RelayUDP
}

// oneNetwork says whether nothing but a LAN, or this machine, is between two candidates.
func oneNetwork(local, remote candidate, ours []candidate) bool {
	a, b := local.ip(), remote.ip()
	switch {
	case !b.IsValid():
		return remote.typ == webrtc.ICECandidateTypeHost // a name that only the LAN resolves
	case a.IsLoopback(), b.IsLoopback(), b.IsLinkLocalUnicast(), b.IsPrivate():
		return true
	}
	near := netip.PrefixFrom(b, b.BitLen())
	if b.Is6() {
		near = netip.PrefixFrom(b, 64).Masked()
	}
	for _, c := range append(ours[:len(ours):len(ours)], local) {
		if c.typ == webrtc.ICECandidateTypeHost && near.Contains(c.ip()) {
			return true
		}
	}
	return false
}

// What a direct path over IPv4 goes through.
const (
	throughHole    = "hole" // in the router of one network, or of both
	throughNothing = "nothing"
	throughUnknown = "unknown"
)

// through says what is between two ends that are not on one network. A candidate that a server or the checks found is an
// address that a router gave, unless its end has that address itself.
func through(local, remote candidate, ours, theirs []candidate) string {
	given := func(c candidate, all []candidate) bool {
		if c.typ == webrtc.ICECandidateTypeHost {
			return false
		}
		for _, o := range all {
			if o.typ == webrtc.ICECandidateTypeHost && o.ip() == c.ip() {
				return false
			}
		}
		return true
	}
	switch a := local.ip(); {
	case given(local, ours), given(remote, theirs), a.IsValid() && !public(a):
		return throughHole
	case a.IsValid() && public(remote.ip()):
		return throughNothing
	}
	return throughUnknown
}
