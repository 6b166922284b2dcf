package session

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

	"github.com/peephole-cam/peephole/internal/punch"
)

// relayedAddresses are those of all relayed transport addresses, doc/protocol.md section 5.3.
var relayedAddresses = netip.MustParsePrefix("198.18.0.0/15")

var errNoWayOut = errors.New("the relay reaches relayed addresses only")

// turnNet is the network under a session's ICE agent. It refuses at once what the relay would refuse with 403 (RFC 8656,
// section 9.2): a permission for an address that is not a relayed one. pion asks for it anew with each check of such a pair,
// and its agent does nothing else until the answer is there. With a distant relay the media would stutter for as long as the
// session lasts, and with a relay that has gone a direct path would stand still too. turnDialer's connections do the same.
type turnNet struct {
	transport.Net
	turn    *TURN // whose sockets these are
	udp     *headStart
	sockets *punch.Sockets // those of the agent, so that a hole can be made behind one; nil: none can
	nat64   nat64
}

func newTurnNet(turn *TURN, udp *headStart, sockets *punch.Sockets, nat64 nat64) (turnNet, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return turnNet{}, fmt.Errorf("open network: %w", err)
	}
	return turnNet{n, turn, udp, sockets, nat64}, nil
}

// ListenUDP makes the socket of a host candidate.
func (n turnNet) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok && n.sockets != nil && (at == nil || !at.IP.IsMulticast()) {
		conn = n.sockets.Wrap(udp)
	}
	if network != "udp6" {
		return hostConn{conn, nat64{}}, nil
	}
	return hostConn{conn, n.nat64}, nil
}

// ResolveUDPAddr finds an IPv4 address for IPv6 too, where that leads to it.
func (n turnNet) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() && network == "udp6" && n.nat64.IsValid() {
		return net.UDPAddrFromAddrPort(at), nil
	}
	return n.Net.ResolveUDPAddr(network, address)
}

// hostConn sends nothing to relayed addresses. ICE would try them from here too; they mean nothing outside the relay, and whoever has
// the addresses in the world would learn this end's.
type hostConn struct {
	transport.UDPConn
	nat64 nat64
}

func (c hostConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	return n, c.nat64.inward(from), err
}

func (c hostConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); ok && relayedAddresses.Contains(a.AddrPort().Addr().Unmap()) {
		return len(b), nil
	}
	return c.UDPConn.WriteTo(b, c.nat64.outward(to))
}

// ListenPacket makes the socket of a TURN client over UDP.
func (n turnNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return &turnPacketConn{conn, n.udp, newPermissions(n.turn)}, nil
}

type turnPacketConn struct {
	net.PacketConn
	udp         *headStart
	permissions *permissions
}

// ReadFrom also gives what permissions has to say to pion.
func (c *turnPacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if message, from := c.permissions.read(); message != nil {
			return copy(b, message), from, nil
		}
		n, from, err := c.PacketConn.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) { // WriteTo's call; pion's TURN client sets no deadline
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

func (c *turnPacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
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
		err = errors.Join(err, c.PacketConn.SetReadDeadline(time.Unix(1, 0))) // ReadFrom has something to say
	}
	return len(b), err
}

// futile says whether a message asks for a permission that the relay refuses.
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
		if peer := peerOf(&m, a); peer.IsValid() && !relayedAddresses.Contains(peer) {
			return true
		}
	}
	return false
}
