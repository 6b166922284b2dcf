//go:build linux

package natlab

import "time"

// Dependence is how much of the other end's address a mapping or a filter depends on, in the words of RFC 4787,
// sections 4.1 and 5.
type Dependence string

const (
	EndpointIndependent     Dependence = "endpoint-independent"
	AddressDependent        Dependence = "address-dependent"
	AddressAndPortDependent Dependence = "address-and-port-dependent"
)

// Ports is how the port of a new mapping is chosen (RFC 4787, section 4.2).
type Ports string

const (
	Preserved  Ports = "preserved" // the host's own, when it is free
	Sequential Ports = "sequential"
	Random     Ports = "random"
)

// Behaviour is what a router does to UDP over IPv4.
type Behaviour struct {
	Translates bool // the host's address is not the one that the world sees
	Mapping    Dependence
	Filtering  Dependence
	Ports      Ports
	Hairpin    bool // hosts inside reach each other at their outside addresses
}

// A Kind is a kind of network that a host can be behind. The package's tests measure everything that is exported.
type Kind struct {
	Name       string
	IPv4, IPv6 bool // which addresses hosts have
	NAT64      bool // whether hosts reach IPv4 over IPv6 (Network.Reach)
	UDP        bool // whether UDP gets out
	Behaviour  Behaviour

	public  bool          // hosts have public IPv4 addresses
	open    bool          // unsolicited packets get in
	egress  string        // what may leave, as an nft expression; "": everything
	masq    string        // nft statement that translates IPv4 in the router's kernel; "": none
	ours    bool          // a translator of our own translates IPv4
	carrier bool          // behind a second router of the same kind, the carrier's
	timeout time.Duration // after which an idle UDP mapping is forgotten; 0: as Linux does it, 30 s and 120 s
}

// The kinds.
var (
	// Open: a public address, and nothing in the way.
	Open = Kind{
		Name:   "open",
		IPv4:   true,
		IPv6:   true,
		UDP:    true,
		public: true,
		open:   true,
		Behaviour: Behaviour{
			Mapping:   EndpointIndependent,
			Filtering: EndpointIndependent,
			Ports:     Preserved,
			Hairpin:   true,
		},
	}
	// PortRestricted: a port-restricted cone; most homes. Linux's masquerade.
	PortRestricted = Kind{
		Name: "port-restricted",
		IPv4: true,
		UDP:  true,
		masq: "masquerade",
		Behaviour: Behaviour{
			Translates: true,
			Mapping:    EndpointIndependent,
			Filtering:  AddressAndPortDependent,
			Ports:      Preserved,
		},
	}
	// SymmetricRandom: a new random port for each peer. Linux's masquerade, fully random.
	SymmetricRandom = Kind{
		Name: "symmetric, random ports",
		IPv4: true,
		UDP:  true,
		masq: "masquerade fully-random",
		Behaviour: Behaviour{
			Translates: true,
			Mapping:    AddressAndPortDependent,
			Filtering:  AddressAndPortDependent,
			Ports:      Random,
		},
	}
	// FullCone lets everybody in to a mapping. It uses our own translator, as does everything that Linux cannot be.
	FullCone = Translated("full cone", Behaviour{
		Mapping:   EndpointIndependent,
		Filtering: EndpointIndependent,
		Ports:     Preserved,
	})
	// RestrictedCone lets in the addresses that the mapping was used for, from any port.
	RestrictedCone = Translated("restricted cone", Behaviour{
		Mapping:   EndpointIndependent,
		Filtering: AddressDependent,
		Ports:     Preserved,
	})
	// Hairpin is PortRestricted with hairpinning, which no other translating kind has.
	Hairpin = Translated("hairpin", Behaviour{
		Mapping:   EndpointIndependent,
		Filtering: AddressAndPortDependent,
		Ports:     Preserved,
		Hairpin:   true,
	})
	// SymmetricSequential gives each peer the port after the one that was given out last.
	SymmetricSequential = Translated("symmetric, sequential ports", Behaviour{
		Mapping:   AddressAndPortDependent,
		Filtering: AddressAndPortDependent,
		Ports:     Sequential,
	})
	// CarrierGrade: two port-restricted cones, one behind the other; the outer one is the carrier's, on 100.64.0.0/10.
	CarrierGrade = Kind{
		Name:      "carrier-grade",
		IPv4:      true,
		UDP:       true,
		masq:      "masquerade",
		carrier:   true,
		Behaviour: PortRestricted.Behaviour,
	}
	// Firewall: public addresses, and only answers get in, for 30 s.
	Firewall = Kind{
		Name:    "firewall",
		IPv4:    true,
		UDP:     true,
		public:  true,
		timeout: 30 * time.Second,
		Behaviour: Behaviour{
			Mapping:   EndpointIndependent,
			Filtering: AddressAndPortDependent,
			Ports:     Preserved,
			Hairpin:   true,
		},
	}
	// UDPBlocked: port-restricted, and no UDP gets out.
	UDPBlocked = Kind{Name: "UDP blocked", IPv4: true, masq: "masquerade", egress: "meta l4proto != udp"}
	// Only443: nothing gets out but TCP to port 443.
	Only443 = Kind{Name: "TCP 443 only", IPv4: true, masq: "masquerade", egress: "tcp dport 443"}
	// IPv6Only: no IPv4 at all; a firewall that lets answers in (RFC 6092).
	IPv6Only = Kind{Name: "IPv6 only", IPv6: true, UDP: true}
	// DualStack: IPv4 as PortRestricted, IPv6 as IPv6Only.
	DualStack = Kind{
		Name:      "dual stack",
		IPv4:      true,
		IPv6:      true,
		UDP:       true,
		masq:      "masquerade",
		Behaviour: PortRestricted.Behaviour,
	}
	// NAT64: IPv6Only, and a path to IPv4 through 64:ff9b::/96; hosts with a name and only IPv4 are found there
	// (DNS64).
	NAT64 = Kind{
		Name:      "NAT64",
		IPv6:      true,
		NAT64:     true,
		UDP:       true,
		ours:      true,
		Behaviour: PortRestricted.Behaviour,
	}
)

// Kinds returns all of them.
func Kinds() []Kind {
	return []Kind{Open, FullCone, RestrictedCone, PortRestricted, SymmetricRandom, SymmetricSequential, CarrierGrade,
		Hairpin,
		Firewall, UDPBlocked, Only443, IPv6Only, DualStack, NAT64}
}

// Translated returns a kind of network with only IPv4 and any behaviour.
func Translated(name string, b Behaviour) Kind {
	b.Translates = true
	return Kind{
		Name:      name,
		IPv4:      true,
		UDP:       true,
		ours:      true,
		Behaviour: b,
	}
}

// WithoutIPv6 returns the kind with only IPv4.
func (k Kind) WithoutIPv6() Kind {
	k.IPv6 = false
	return k
}

// Timeout returns the kind with another lifetime of idle UDP mappings, in whole seconds.
func (k Kind) Timeout(d time.Duration) Kind {
	k.timeout = d
	return k
}
