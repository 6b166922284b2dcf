//go:build linux

package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
)

// A Host is a machine of its own, as far as the network goes. It shares the files of the machine that runs the test,
// except for /etc/hosts and /etc/resolv.conf.
type Host struct {
	Name    string
	lab     *Lab
	number  int
	ns      *namespace
	network *Network
	device  string // the present one: eth0, and after each Move the next
	moves   int
}

// Network returns where the host is now.
func (h *Host) Network() *Network { return h.network }

// IPv4 returns the host's own address, or the zero Addr if it has none.
func (h *Host) IPv4() netip.Addr {
	switch {
	case !h.network.Kind.IPv4:
		return netip.Addr{}
	case h.network.Kind.public:
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(h.number)})
	}
	return insideIPv4(h.number)
}

// IPv6 returns the host's own address, or the zero Addr if it has none.
func (h *Host) IPv6() netip.Addr {
	if !h.network.Kind.IPv6 {
		return netip.Addr{}
	}
	return h.network.ipv6(h.number)
}

// attach connects the host to a network.
func (h *Host) attach(to *Network) error {
	h.network, h.device = to, fmt.Sprintf("eth%d", h.moves)
	if err := to.router.plug(h.ns, h.device); err != nil {
		return err
	}
	without := "1"
	if to.Kind.IPv6 {
		without = "0"
	}

	if err := h.ns.sysctl("net/ipv6/conf/"+h.device+"/disable_ipv6", without); err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("link set %s up", h.device)}
	if a := h.IPv4(); a.IsValid() {
		lines = append(lines, h.addressIPv4(a)...)
	}

	if a := h.IPv6(); a.IsValid() {
		lines = append(lines, fmt.Sprintf("addr add %s/64 dev %s nodad", a, h.device),
			fmt.Sprintf("route add ::/0 via %s dev %s", to.ipv6(1), h.device))
	}
	return h.ns.ip(lines...)
}

// addressIPv4 gives the host an address and a default route. A public address stands alone, with a route to it at the
// router and in the internet.
func (h *Host) addressIPv4(a netip.Addr) []string {
	length, n := 24, h.network
	if n.Kind.public {
		length = 32
	}
	return []string{fmt.Sprintf("addr add %s/%d dev %s", a, length, h.device),
		fmt.Sprintf("route replace 0.0.0.0/0 via %s dev %s onlink", insideIPv4(1), h.device)}
}

// announce adds the routes to a public address, or removes them.
func (h *Host) announce(what string, a netip.Addr) error {
	if !h.network.Kind.public || !a.IsValid() {
		return nil
	}
	if err := h.network.router.ip(fmt.Sprintf("route %s %s/32 dev lan", what, a)); err != nil {
		return err
	}
	return h.lab.internet.ip(fmt.Sprintf("route %s %s/32 dev line%d", what, a, h.network.number))
}

// Start starts a command on the host. It is killed when the lab closes, if it still runs.
func (h *Host) Start(cmd *exec.Cmd) error {
	if err := h.ns.start(cmd); err != nil {
		return fmt.Errorf("start on %s: %w", h.Name, err)
	}
	return nil
}

// Do calls f on the host: sockets that f opens are the host's. f must not start goroutines that open sockets, nor end
// its own.
func (h *Host) Do(f func() error) error { return h.ns.do(f) }

// ListenPacket is net.ListenPacket on the host. The address must be a literal.
func (h *Host) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = h.ns.do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Listen is net.Listen on the host. The address must be a literal.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.ns.do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Dial is d.Dial on the host. The address must be a literal.
func (h *Host) Dial(d net.Dialer, network, address string) (conn net.Conn, err error) {
	err = h.ns.do(func() (err error) {
		conn, err = d.Dial(network, address)
		return err
	})
	return conn, err
}

// Move takes the host from its network to another, as a phone goes from Wi-Fi to LTE: the old device and its addresses
// disappear, and a new one with other addresses appears.
func (h *Host) Move(to *Network) {
	h.lab.t.Helper()
	h.lab.must(h.announce("del", h.IPv4()))
	h.lab.must(h.ns.ip("link del " + h.device))
	h.moves++
	h.lab.must(h.attach(to))
	h.lab.must(h.announce("add", h.IPv4()))
	h.lab.writeNames()
}
