package turnclient

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"

	"github.com/peephole-cam/peephole/nat/punch"
)

// RelayedAddresses holds all relayed transport addresses (doc/protocol.md, section 5.3).
var RelayedAddresses = netip.MustParsePrefix("198.18.0.0/15")

var errNoWayOut = errors.New("the relay reaches relayed addresses only")

// agentNet is the network under a session's ICE agent. It refuses at once what the relay would refuse with 403 (RFC
// 8656, section 9.2): a permission for an address that is not a relayed one. pion asks again with each check of such a
// pair, and its agent does nothing else until the answer arrives. With a distant relay, the media would stutter for as
// long as the session lasts, and with a dead relay even a direct path would freeze. Dialer's connections refuse too.
type agentNet struct {
	transport.Net
	turn    credentials // for the relay
	udp     *headStart
	sockets *punch.Sockets // makes the agent's sockets, so that one can punch a hole; nil if none is to do so
	nat64   nat64
	hosts   []*transport.Interface
	sources *checkSources
}

func newAgentNet(turn credentials, udp *headStart, sockets *punch.Sockets, nat64 nat64) (agentNet, error) {
	hosts, err := bestInterfaces()
	if err != nil {
		return agentNet{}, fmt.Errorf("open network: %w", err)
	}
	return agentNet{
		Net:     new(stdnet.Net),
		turn:    turn,
		udp:     udp,
		sockets: sockets,
		nat64:   nat64,
		hosts:   hosts,
		sources: newCheckSources(),
	}, nil
}

// Interfaces returns the interfaces from which to gather host candidates.
func (n agentNet) Interfaces() ([]*transport.Interface, error) { return n.hosts, nil }

// ListenUDP makes the socket of a host candidate.
func (n agentNet) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	makeRoom(conn)

	if udp, ok := conn.(*net.UDPConn); ok && n.sockets != nil && (at == nil || !at.IP.IsMulticast()) {
		conn = n.sockets.Wrap(udp)
	}

	host := hostConn{conn, n.nat64}
	if network != "udp6" {
		host.nat64 = nat64{}
	}
	return pacedConn{host, newCheckPacer(), n.sources}, nil
}

// receiveBuffer is how many bytes a socket should hold while this process waits for a processor. What does not fit is
// lost, and congestion control takes that for a slow network. Linux caps it at net.core.rmem_max and then doubles it.
// With the defaults, that is twice what a socket would have.
const receiveBuffer = 4 << 20

func makeRoom(conn net.PacketConn) {
	if c, ok := conn.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = c.SetReadBuffer(receiveBuffer) // an error leaves the default
	}
}

// ResolveUDPAddr resolves an IPv4 address for IPv6 too if NAT64 reaches it.
func (n agentNet) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() && network == "udp6" &&
		n.nat64.IsValid() {
		return net.UDPAddrFromAddrPort(at), nil
	}
	return n.Net.ResolveUDPAddr(network, address)
}

// hostConn is the socket of a host candidate. It sends nothing to relayed addresses, although ICE tries them from here
// too: they mean nothing outside the relay, and anyone who used these addresses in the world would learn this end's.
type hostConn struct {
	transport.UDPConn
	nat64 nat64
}

func (c hostConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	return n, c.nat64.inward(from), err
}

func (c hostConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); ok && RelayedAddresses.Contains(a.AddrPort().Addr().Unmap()) {
		return len(b), nil
	}
	return c.UDPConn.WriteTo(b, c.nat64.outward(to))
}

// ListenPacket makes the socket of a TURN client over UDP.
func (n agentNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	makeRoom(conn)

	return &packetConn{conn, n.udp, newPermissions(n.turn)}, nil
}

type packetConn struct {
	net.PacketConn
	udp         *headStart
	permissions *permissions
}

// ReadFrom also returns the answers that permissions has made for pion.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if message, from := c.permissions.read(); message != nil {
			return copy(b, message), from, nil
		}

		n, from, err := c.PacketConn.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) { // WriteTo set it; pion's TURN client sets no deadline
			err = c.PacketConn.SetReadDeadline(time.Time{})
			if err == nil {
				continue
			}
		}
		if err != nil {
			return n, from, err
		}

		if c.udp.hear(b[:n], from); !c.permissions.hear(b[:n]) {
			return n, from, nil
		}
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if futile(b) {
		return 0, errNoWayOut
	}
	out, granted, again := c.permissions.write(b, to, time.Now())
	for _, request := range again {
		if _, err := c.PacketConn.WriteTo(request, to); err != nil {
			return 0, err
		}
	}

	if out == nil {
		return 0, errNoWayOut
	}
	c.udp.ask(out, to)
	_, err := c.PacketConn.WriteTo(out, to)
	if granted {
		// wake ReadFrom, which has an answer for pion
		err = errors.Join(err, c.PacketConn.SetReadDeadline(time.Unix(1, 0)))
	}

	return len(b), err
}

// futile reports whether a message asks for a permission that the relay refuses.
func futile(b []byte) bool {
	if len(b) < 2 || b[0] != 0 || stun.Method(b[1]) != stun.MethodCreatePermission || !stun.IsMessage(b) {
		return false
	}
	var m stun.Message
	if stun.Decode(b, &m) != nil {
		return false
	}

	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		if peer := peerOf(&m, a); peer.IsValid() && !RelayedAddresses.Contains(peer) {
			return true
		}
	}

	return false
}
