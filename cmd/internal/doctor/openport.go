package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/nat/portmap"
)

// PortMapper asks the router to open a UDP port until ctx ends. *portmap.Mapper implements it.
type PortMapper interface {
	Map(ctx context.Context, inside netip.AddrPort, found func(outside netip.AddrPort)) error
}

// openWait is longer than any router takes that speaks one of the protocols.
const openWait = 10 * time.Second

// opened is the result of asking the router to open a port.
type opened struct {
	outside netip.AddrPort // valid if it opened one
	err     error
	asked   bool
}

// askRouter has the router open a port and close it again.
func askRouter(ctx context.Context, m PortMapper, all []*udp) (o opened) {
	own := ownAddress(all)
	if m == nil || !own.IsValid() || own.IsLoopback() {
		return o
	}
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
	if err != nil {
		return o
	}
	defer conn.Close()

	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	o.asked = true
	o.err = m.Map(ctx, conn.LocalAddr().(*net.UDPAddr).AddrPort(), func(outside netip.AddrPort) {
		o.outside = outside
		cancel() // that is all we wanted to know, and it closes the port
	})
	return o
}

// ownAddress returns the IPv4 address from which this machine reaches the relays, or the zero Addr.
func ownAddress(all []*udp) (own netip.Addr) {
	for _, u := range all {
		at := u.main["4"]
		if !at.IsValid() {
			continue
		}
		if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at)); err == nil {
			own = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			conn.Close()
		}
	}
	return own
}

func (o opened) finding(b behaviour) Finding {
	f := Finding{Check: "port mapping"}
	switch {
	case o.outside.IsValid():
		f.Addresses = []string{o.outside.String()}
		return f.conclude(OK, "yes", "the router opens a port when asked, and has closed it again")
	case errors.Is(o.err, portmap.ErrInside):
		return f.conclude(OK, "inside",
			"the router opens ports, but is behind another NAT itself: ask whoever runs that one")
	case errors.Is(o.err, portmap.ErrNoRouter), !o.asked:
		return f.conclude(OK, "none",
			"no router was asked: this machine has none in front of it, or -no-portmap was given")
	case b.mapping.Symmetric():
		return f.conclude(OK, "no",
			"the router opens no port: turn on UPnP, NAT-PMP or PCP in it, which makes up for its symmetric NAT")
	}
	return f.conclude(OK, "no", "the router opens no port when asked; direct paths work without")
}
