//go:build linux

package natlab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// lanMAC is every router's address on its LAN. A bridge without one takes the lowest of its ports', which changes with
// the next host, and those that were there before then send to nobody until ARP notices.
const lanMAC = "02:00:00:00:00:01"

// A router is a namespace with an inside, the bridge lan, and an outside, wan.
type router struct {
	*namespace
	kind    Kind
	ports   []string // of the bridge
	rebinds int
}

// newRouter makes a router whose inside has the given addresses. The caller connects its outside.
func newRouter(name string, kind Kind, inside ...netip.Prefix) (*router, error) {
	n, err := newNamespace(name, nil)
	if err != nil {
		return nil, err
	}
	r := &router{namespace: n, kind: kind}
	if err := r.setUp(inside); err != nil {
		n.close()
		return nil, err
	}
	return r, nil
}

func (r *router) setUp(inside []netip.Prefix) error {
	settings := [][2]string{
		{"net/ipv4/conf/all/forwarding", "1"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/bridge/bridge-nf-call-iptables", "0"}, // the router's firewall ignores what stays inside
		{"net/bridge/bridge-nf-call-ip6tables", "0"},
	}

	if r.kind.timeout > 0 {
		seconds := fmt.Sprint(int(r.kind.timeout / time.Second))
		settings = append(settings, [2]string{"net/netfilter/nf_conntrack_udp_timeout", seconds},
			[2]string{"net/netfilter/nf_conntrack_udp_timeout_stream", seconds})
	}

	for _, s := range settings {
		if err := r.sysctl(s[0], s[1]); err != nil {
			return err
		}
	}

	lines := []string{"link add lan address " + lanMAC + " type bridge mcast_snooping 0", "link set lan up"}
	for _, p := range inside {
		lines = append(lines, fmt.Sprintf("addr add %s dev lan", p))
	}
	if err := r.ip(lines...); err != nil {
		return err
	}
	return r.nft(r.rules())
}

// rules returns the firewall, and the translation that the kernel does. The router answers nobody on its outside, not
// even with a refusal: that would make an entry in the connection table that moves the next mapping from its port.
func (r *router) rules() string {
	forward := []string{"iifname lan " + r.kind.egress + " accept", "ct state established,related accept"}
	if r.kind.open || r.kind.ours && !r.kind.NAT64 { // the router only forwards to a translator of ours
		forward = []string{"accept"}
	}
	return fmt.Sprintf(`
table inet firewall {
	chain input {
		type filter hook input priority filter; policy drop
		iifname { lo, lan } accept
		ct state established,related accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		%s
	}
}
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat
	}
}
`, strings.Join(forward, "\n\t\t")) + r.masquerade()
}

// masquerade returns the translating rule. After each rebinding it uses another range of ports, so that they differ
// from earlier ones.
func (r *router) masquerade() string {
	rule := "flush chain ip nat postrouting\n"
	switch {
	case r.kind.masq == "":
	case r.rebinds == 0:
		rule += "add rule ip nat postrouting oifname wan " + r.kind.masq + "\n"
	default:
		first := 20000 + r.rebinds%8*5000
		masq, flags, _ := strings.Cut(r.kind.masq, " ")
		rule += fmt.Sprintf("add rule ip nat postrouting oifname wan meta l4proto { tcp, udp } %s to :%d-%d %s\n", masq,
			first, first+4999, flags)
	}

	return rule
}

// forget loses all mappings and the firewall's state. With newPorts, later mappings have other ports than before.
func (r *router) forget(newPorts bool) error {
	if newPorts {
		r.rebinds++
		if err := r.nft(r.masquerade()); err != nil {
			return err
		}
	}
	return r.forgetConnections()
}
