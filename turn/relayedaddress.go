package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Relayed addresses are from 198.18.0.0/15, which RFC 2544 set aside for benchmarks. They are never routed on the
// Internet and hardly ever used inside a network, so an address that leaks means nothing, and no real peer has one.
// Where the IPs do not suffice, allocations share one and differ by port. A TURN permission names an IP without a port
// (RFC 8656 section 9), and so holds for all allocations at that IP; the session says which of them exist for a client.
// The ports are odd, so that EVEN-PORT always fails with 508.
//
// Inside this package a relayed address is a number, its host: the host part of the IP in the low hostBits, and above
// it the index of the port. No relayed address is 0.
const (
	relayedBase  = 198<<24 | 18<<16
	relayedBits  = 15
	hostBits     = 32 - relayedBits
	relayedPort  = 49153 // the first; the others are the odd ones after it
	relayedPorts = 8
)

// MaxAddresses is how many relayed addresses there are.
const MaxAddresses = relayedPorts * (1<<hostBits - 2)

// relayedIP returns the IP of a relayed address, as a number.
func relayedIP(host uint32) uint32 { return relayedBase | ipOf(host) }

// ipOf returns the part of a host that a permission names.
func ipOf(host uint32) uint32 { return host & (1<<hostBits - 1) }

func portOf(host uint32) uint16 { return relayedPort + 2*uint16(host>>hostBits) }

// addressOf returns a relayed address as clients know it.
func addressOf(host uint32) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], relayedIP(host))
	return netip.AddrPortFrom(netip.AddrFrom4(b), portOf(host))
}

// hostOf returns the host of a relayed address, 0 for any other.
func hostOf(at netip.AddrPort) uint32 {
	ip, port := hostPart(at.Addr()), at.Port()-relayedPort // wraps around for lower ports, and is then too high
	if ip == 0 || port%2 != 0 || port/2 >= relayedPorts {
		return 0
	}
	return uint32(port/2)<<hostBits | ip
}

// hostPart returns the host part of a relayed address' IP, 0 for any other. An IPv4-mapped spelling is another address.
func hostPart(ip netip.Addr) uint32 {
	if !ip.Is4() {
		return 0
	}

	b := ip.As4()
	part := binary.BigEndian.Uint32(b[:]) - relayedBase
	if part >= 1<<hostBits {
		return 0
	}
	return part
}

// peerHost returns the host of a peer, 0 for one that has no relayed address.
func peerHost(peer net.Addr) uint32 {
	if u, ok := peer.(*net.UDPAddr); ok {
		return hostOf(u.AddrPort())
	}
	return 0
}
