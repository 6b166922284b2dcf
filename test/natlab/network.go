//go:build linux

package natlab

import (
	"fmt"
	"net/netip"
	"time"
)

// A Network is what hosts are behind: a router, or two, and the line to the internet. Its methods end the test if they
// fail, and only the test's own goroutine may call them.
type Network struct {
	lab     *Lab
	Kind    Kind
	number  int
	router  *router   // the hosts' own
	carrier *router   // nil if there is none
	link    *link     // of the outermost router
	routers []*router // both
}

// The addresses of a network. All homes look alike inside. Hosts are numbered throughout the lab, so that no two have
// the same address.
func (n *Network) publicIPv4() netip.Addr {
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(n.number)})
}

func (n *Network) ipv6(host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 5: byte(n.number), 15: byte(host)})
}

func insideIPv4(host int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 1, byte(host)}) }

var carrierInside = netip.MustParsePrefix("100.64.0.1/10")

// outermost returns the router on the line.
func (n *Network) outermost() *router { return n.routers[len(n.routers)-1] }

// build makes the routers and the line.
func (n *Network) build() error {
	name := fmt.Sprintf("%s %d", n.Kind.Name, n.number)
	inside := []netip.Prefix{netip.PrefixFrom(insideIPv4(1), 24)}
	if n.Kind.IPv6 {
		inside = append(inside, netip.PrefixFrom(n.ipv6(1), 64))
	}

	var err error
	if n.router, err = newRouter("router of "+name, n.Kind, inside...); err != nil {
		return err
	}
	n.routers = append(n.routers, n.router)
	if n.Kind.carrier {
		if n.carrier, err = newRouter("carrier of "+name, n.Kind, carrierInside); err != nil {
			return err
		}
		n.routers = append(n.routers, n.carrier)
		if err := n.subscribe(); err != nil {
			return err
		}
	}

	return n.connect()
}

// subscribe connects the router's outside to the carrier's inside.
func (n *Network) subscribe() error {
	if err := n.carrier.plug(n.router.namespace, "wan"); err != nil {
		return err
	}
	return n.router.ip("addr add 100.64.0.2/10 dev wan", "link set wan up", "route add default via 100.64.0.1")
}

// connect makes the line between the outermost router and the internet, and the internet's routes.
func (n *Network) connect() error {
	r, internet := n.outermost(), n.lab.internet
	device := fmt.Sprintf("line%d", n.number)
	inner, err := r.openTUN("wan")
	if err != nil {
		return err
	}

	outer, err := internet.openTUN(device)
	if err != nil {
		inner.Close()
		return err
	}
	n.link = newLink(inner, outer, n.translation())
	at := []string{fmt.Sprintf("link set wan mtu %d up", mtu), "route add 0.0.0.0/0 dev wan"}
	if !n.Kind.ours { // a translator has the address itself
		at = append(at, fmt.Sprintf("addr add %s/32 dev wan", n.publicIPv4()))
	}

	there := []string{fmt.Sprintf("link set %s mtu %d up", device, mtu),
		fmt.Sprintf("route add %s/32 dev %s", n.publicIPv4(), device)}
	if n.Kind.IPv6 {
		at = append(at, "route add ::/0 dev wan")
		there = append(there, fmt.Sprintf("route add %s dev %s", netip.PrefixFrom(n.ipv6(0), 64), device))
	}

	if err := r.ip(at...); err != nil {
		return err
	}
	return internet.ip(there...)
}

// translation returns the part of our translator that the line needs; nil: the router's kernel translates, or nobody.
func (n *Network) translation() translation {
	switch {
	case n.Kind.NAT64:
		return newNAT64(n.Kind.Behaviour, n.publicIPv4(), n.Kind.timeout)
	case n.Kind.ours:
		return newTranslator(n.Kind.Behaviour, n.publicIPv4(), n.Kind.timeout)
	}
	return nil
}

// plug connects a new device of a namespace to the router's bridge, as a cable does.
func (r *router) plug(into *namespace, device string) error {
	port := fmt.Sprintf("port%d", len(r.ports))
	if err := into.ip(fmt.Sprintf("link add %s mtu %d type veth peer name %s mtu %d netns %d", device, mtu, port, mtu,
		r.tid)); err != nil {
		return err
	}
	r.ports = append(r.ports, port)
	return r.ip(fmt.Sprintf("link set %s master lan up", port))
}

// Outside returns the address at which the world sees the network's hosts, if they have none of their own.
func (n *Network) Outside() netip.Addr { return n.publicIPv4() }

// Reach returns the address by which hosts of the network reach an IPv4 address: the same, except with NAT64.
func (n *Network) Reach(a netip.Addr) netip.Addr {
	if n.Kind.NAT64 && a.Is4() {
		return synthesize(a)
	}
	return a
}

// Impair sets what the line does from now on to packets on their way up, to the internet, and down.
func (n *Network) Impair(up, down Quality) {
	n.link.up.set(up)
	n.link.down.set(down)
}

// Distance adds roundTrip to every round trip to a host of another network from now on, by delaying the packets on
// their way there. Round trips to other hosts stay as they are.
func (n *Network) Distance(to *Host, roundTrip time.Duration) {
	for _, a := range []netip.Addr{to.IPv4(), to.IPv6()} {
		if a.IsValid() {
			n.link.distance(n.Reach(a), roundTrip)
		}
	}
}

// Counts returns what has happened to the packets so far.
func (n *Network) Counts() (up, down Counts) { return n.link.up.counted(), n.link.down.counted() }

// Down makes the line lose everything, until Up. Nobody is informed.
func (n *Network) Down() {
	n.link.up.darken(true)
	n.link.down.darken(true)
}

// Up ends Down.
func (n *Network) Up() {
	n.link.up.darken(false)
	n.link.down.darken(false)
}

// Rebind makes the routers lose all mappings, and use other ports for the next ones.
func (n *Network) Rebind() { n.forget(true) }

func (n *Network) forget(newPorts bool) {
	n.lab.t.Helper()
	for _, r := range n.routers {
		n.lab.must(r.forget(newPorts))
	}
	if n.link.nat != nil {
		n.link.nat.forget(newPorts)
	}
}

// Reboot reboots the hosts' router: for the outage the line is dark and the hosts' cables are dead, and all mappings
// are lost.
func (n *Network) Reboot(outage time.Duration) {
	n.lab.t.Helper()
	n.Down()
	n.lab.must(n.router.power("down"))
	n.forget(false)
	<-time.After(outage)
	n.lab.must(n.router.power("up"))
	n.Up()
}

// power sets the bridge's ports up or down, which the hosts notice.
func (r *router) power(state string) error {
	var lines []string
	for _, p := range r.ports {
		lines = append(lines, fmt.Sprintf("link set %s %s", p, state))
	}
	return r.ip(lines...)
}

// Record records what passes the outside of the outermost router from now on: what leaves it, even if it is lost later,
// and what arrives.
func (n *Network) Record() *Recording {
	r := &Recording{t: n.lab.t}
	n.link.mu.Lock()
	defer n.link.mu.Unlock()
	n.link.recordings = append(n.link.recordings, r)
	return r
}
