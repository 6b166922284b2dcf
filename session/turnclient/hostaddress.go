package turnclient

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/nat"
)

// MaxHosts is from how many addresses of each IP version an end gathers host candidates. A machine with thirty
// container bridges has thirty more addresses that lead nowhere, and each costs a check with every candidate of the
// other end.
const MaxHosts = 4

// networkKind is the most likely kind of a network. The best kind comes first.
type networkKind int

const (
	primaryNetwork   networkKind = iota // leads to the internet
	plainNetwork                        // Ethernet, Wi-Fi
	linkLocalNetwork                    // nobody assigned its IPv4 addresses
	tunnelNetwork                       // a VPN
	virtualNetwork                      // of containers or virtual machines
)

// hostAddress is an address of this machine.
type hostAddress struct {
	nat.DeviceAddress
	kind  networkKind
	nth   int // its place among the addresses of its device and IP version
	round int // how many addresses of its kind, IP version and nth come before it
}

func (a hostAddress) is4() bool { return a.Prefix.Addr().Is4() }

// bestHosts returns at most MaxHosts addresses of each IP version, best first. A device's second address comes after
// every device's first. The first address of each kind of network comes before the second one of any kind, so that one
// check reaches the other end, whichever network it is on.
func bestHosts(all []hostAddress) []hostAddress {
	type series struct {
		is4    bool
		device int
		kind   networkKind
		nth    int
	}

	counts := make(map[series]int)
	count := func(s series) int {
		counts[s]++
		return counts[s] - 1
	}

	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b hostAddress) int { return cmp.Compare(a.kind, b.kind) })
	for i := range ranked {
		a := &ranked[i]
		a.nth = count(series{is4: a.is4(), device: a.Device.Index, nth: -1})
		a.round = count(series{is4: a.is4(), kind: a.kind, nth: a.nth})
	}

	slices.SortStableFunc(ranked, func(a, b hostAddress) int {
		return cmp.Or(cmp.Compare(a.nth, b.nth), cmp.Compare(a.round, b.round), cmp.Compare(a.kind, b.kind))
	})

	kept := make(map[bool]int)
	return slices.DeleteFunc(ranked, func(a hostAddress) bool {
		kept[a.is4()]++
		return kept[a.is4()] > MaxHosts
	})
}

// bestInterfaces returns the interfaces and addresses from which to gather host candidates, best first. It includes the
// loopback interface, which pion leaves out unless it is configured to use it.
func bestInterfaces() (out []*transport.Interface, err error) {
	all, err := nat.DeviceAddresses()
	if err != nil {
		return nil, err
	}
	primary := []netip.Addr{SourceTo("udp4", worldIPv4), SourceTo("udp6", worldIPv6)}
	var hosts []hostAddress
	var loopback []nat.DeviceAddress

	for _, a := range all {
		switch ip := a.Prefix.Addr(); {
		case a.Device.Flags&net.FlagUp == 0:
		case a.Device.Flags&net.FlagLoopback != 0:
			loopback = append(loopback, a)
		case usableHost(ip):
			kind := kindOf(a.Device, ip)
			if slices.Contains(primary, ip) {
				kind = primaryNetwork
			}
			hosts = append(hosts, hostAddress{DeviceAddress: a, kind: kind})
		}
	}

	chosen := loopback
	for _, host := range bestHosts(hosts) {
		chosen = append(chosen, host.DeviceAddress)
	}

	for _, a := range chosen {
		i := slices.IndexFunc(out, func(o *transport.Interface) bool { return o.Index == a.Device.Index })
		if i < 0 {
			i = len(out)
			out = append(out, transport.NewInterface(a.Device))
		}
		ip := a.Prefix.Addr()
		out[i].AddAddress(&net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(a.Prefix.Bits(), ip.BitLen())})
	}

	return out, nil
}

// usableHost reports whether ICE can use an address. IPv6 link-local addresses mean nothing without a zone, which the
// other end cannot know, and ICE does not offer them (RFC 8445, section 5.1.1.1).
func usableHost(ip netip.Addr) bool { return !(ip.Is6() && ip.IsLinkLocalUnicast()) }

// virtualNames are prefixes of the names that bridges, and devices of containers and virtual machines, have on Linux,
// macOS and Windows.
var virtualNames = []string{
	"br-", "bridge", "cali", "cilium", "cni", "docker", "flannel", "incus", "lxc", "lxd", "podman", "tap",
	"vboxnet", "veth", "vethernet", "virbr", "virtualbox", "vmenet", "vmnet", "vmware", "vnet",
}

// kindOf guesses the kind of a network from its device. It does not know whether the network leads to the internet.
func kindOf(device net.Interface, ip netip.Addr) networkKind {
	name := strings.ToLower(device.Name)
	switch {
	case slices.ContainsFunc(virtualNames, func(v string) bool {
		return strings.HasPrefix(name, v)
	}), isBridge(device.Name):
		return virtualNetwork
	case device.Flags&net.FlagPointToPoint != 0:
		return tunnelNetwork
	case ip.IsLinkLocalUnicast():
		return linkLocalNetwork
	}

	return plainNetwork
}

// isBridge reports whether a device is a bridge. It recognizes bridges only on Linux.
func isBridge(device string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", device, "bridge"))
	return err == nil
}

// Addresses to which only a default route leads, because nobody has them (RFC 5737 and RFC 3849).
const (
	worldIPv4 = "192.0.2.1:9"
	worldIPv6 = "[2001:db8::1]:9"
)

// SourceTo returns the address from which this machine would send to address, or the zero Addr if it has no route. It
// sends nothing.
func SourceTo(network, address string) netip.Addr {
	conn, err := net.Dial(network, address)
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()

	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return at.AddrPort().Addr().Unmap().WithZone("")
}
