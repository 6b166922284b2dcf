//go:build linux

package natlab

import "fmt"

// Addressing tells which addresses a host has in the networks beside its own (Host.Surround).
type Addressing struct {
	Name       string
	ipv4, ipv6 bool // addresses in networks of their own
}

// The addressings. Every network has an IPv6 link-local address, as long as the host has IPv6 at all.
var (
	PrivateIPv4 = Addressing{Name: "IPv4", ipv4: true}
	PrivateDual = Addressing{Name: "dual stack", ipv4: true, ipv6: true}
	LinkLocal   = Addressing{Name: "link-local only"}
)

// Surround gives the host n networks beside its own, as containers, virtual machines, VPNs and further network cards
// do: bridges with a port, veth pairs, point-to-point devices and Ethernet, in turn. Nobody is there and none leads
// out. They have the same addresses on every host, as Docker's do everywhere.
func (h *Host) Surround(n int, a Addressing) {
	h.lab.t.Helper()
	if n > 100 {
		h.lab.t.Fatal("natlab: no addresses for more than 100 networks beside a host's own")
	}
	for i := range n {
		h.lab.must(h.surround(i, a))
	}
}

func (h *Host) surround(i int, a Addressing) error {
	var device string
	var lines []string
	switch i % 4 {
	case 0:
		device = fmt.Sprintf("br-%012x", 0xc0ffee00+int64(i))
		lines = []string{
			fmt.Sprintf("link add %s type bridge mcast_snooping 0", device),
			fmt.Sprintf("link add veth%07x type veth peer name inner%d", i, i),
			fmt.Sprintf("link set veth%07x master %s up", i, device),
			fmt.Sprintf("link set inner%d up", i),
		}
	case 1, 3:
		device = fmt.Sprintf("vnet%d", i)
		if i%4 == 3 {
			device = fmt.Sprintf("lan%d", i)
		}
		lines = []string{
			fmt.Sprintf("link add %s type veth peer name guest%d", device, i),
			fmt.Sprintf("link set guest%d up", i),
		}
	case 2:
		device = fmt.Sprintf("tun%d", i)
		lines = []string{fmt.Sprintf("tuntap add dev %s mode tun", device)}
	}

	lines = append(lines, fmt.Sprintf("link set %s up", device))
	if a.ipv4 && i%4 == 2 {
		lines = append(lines, fmt.Sprintf("addr add 10.%d.0.1 peer 10.%d.0.2 dev %s", 100+i, 100+i, device))
	} else if a.ipv4 {
		lines = append(lines, fmt.Sprintf("addr add 10.%d.0.1/24 dev %s", 100+i, device))
	} else if !a.ipv6 {
		lines = append(lines, fmt.Sprintf("addr add 169.254.%d.1/16 dev %s", 1+i, device))
	}

	if a.ipv6 {
		lines = append(lines, fmt.Sprintf("addr add fd00:%x::1/64 dev %s nodad", 1+i, device))
	}
	return h.ns.ip(lines...)
}
