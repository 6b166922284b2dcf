package path

import (
	"net/netip"
	"strings"

	"github.com/pion/webrtc/v4"
)

// Type is a class of paths of like quality that a session's media can take.
type Type string

// The types of path. A relayed one is named after the worse of the two ends' ways to the relay.
const (
	LAN      Type = "lan"    // both ends are on one network
	IPv6     Type = "ipv6"   // from network to network
	Direct   Type = "direct" // over IPv4, from network to network
	RelayUDP Type = "relay-udp"
	RelayTCP Type = "relay-tcp"
	RelayTLS Type = "relay-tls"
)

// bestFirst lists all types, best first.
var bestFirst = []Type{LAN, IPv6, Direct, RelayUDP, RelayTCP, RelayTLS}

// relayed reports whether the path goes through the relay.
func (r Type) relayed() bool { return strings.HasPrefix(string(r), "relay-") }

// Candidate is what an explanation needs of either end's candidate.
type Candidate struct {
	Type     webrtc.ICECandidateType
	TCP      bool
	Address  string
	Port     int
	relayWay string // for a relay candidate of this end, its way to the relay: udp, tcp or tls
}

// IP returns the address. It is zero for a name, because browsers hide host addresses behind multicast DNS names.
func (c Candidate) IP() netip.Addr {
	ip, err := netip.ParseAddr(c.Address)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// Kind returns the candidate's type and address family, such as "host4". It holds nothing that identifies the
// candidate.
func (c Candidate) Kind() string {
	kind := c.Type.String()
	if c.TCP {
		kind += "-tcp"
	}
	switch ip := c.IP(); {
	case !ip.IsValid():
		return kind
	case ip.Is4():
		return kind + "4"
	}

	return kind + "6"
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// Public reports whether an address can be reached from anywhere.
func Public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierGrade.Contains(a)
}

// typeOfPair returns the type of path that a pair of candidates makes. It is empty for a relayed address paired with
// one outside the relay, because such a pair cannot work. ours are this end's candidates.
func typeOfPair(local, remote Candidate, ours []Candidate) Type {
	relay := webrtc.ICECandidateTypeRelay
	switch {
	case local.Type == relay && remote.Type == relay:
		return RelayUDP.over(local.relayWay)
	case local.Type == relay || remote.Type == relay:
		return ""
	case oneNetwork(local, remote, ours):
		return LAN
	case local.IP().Is6() || remote.IP().Is6():
		return IPv6
	}

	return Direct
}

// over returns the type of relayed path r once it is known that one end reaches the relay by way.
func (r Type) over(way string) Type {
	switch {
	case way == "tls" || r == RelayTLS:
		return RelayTLS
	case way == "tcp" || r == RelayTCP:
		return RelayTCP
	}
	return RelayUDP
}

// oneNetwork reports whether two candidates are on the same LAN or on the same machine.
func oneNetwork(local, remote Candidate, ours []Candidate) bool {
	a, b := local.IP(), remote.IP()
	switch {
	case !b.IsValid():
		return remote.Type == webrtc.ICECandidateTypeHost // a name that only the LAN can resolve
	case a.IsLoopback(), b.IsLoopback(), b.IsLinkLocalUnicast(), b.IsPrivate():
		return true
	}

	near := netip.PrefixFrom(b, b.BitLen())
	if b.Is6() {
		near = netip.PrefixFrom(b, 64).Masked()
	}
	for _, c := range append(ours[:len(ours):len(ours)], local) {
		if c.Type == webrtc.ICECandidateTypeHost && near.Contains(c.IP()) {
			return true
		}
	}

	return false
}

// The values of Selected.Through: what a direct path over IPv4 goes through.
const (
	throughHole    = "hole" // in the router of one or both networks
	throughNothing = "nothing"
	throughUnknown = "unknown"
)

// through returns what lies between two ends that are not on one network. A candidate that a server or the checks have
// found is an address on a router, unless its end has that address itself.
func through(local, remote Candidate, ours, theirs []Candidate) string {
	given := func(c Candidate, all []Candidate) bool {
		if c.Type == webrtc.ICECandidateTypeHost {
			return false
		}
		for _, o := range all {
			if o.Type == webrtc.ICECandidateTypeHost && o.IP() == c.IP() {
				return false
			}
		}

		return true
	}

	switch a := local.IP(); {
	case given(local, ours), given(remote, theirs), a.IsValid() && !Public(a):
		return throughHole
	case a.IsValid() && Public(remote.IP()):
		return throughNothing
	}

	return throughUnknown
}
