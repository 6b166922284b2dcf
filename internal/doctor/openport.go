package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/portmap"
)

// PortMapper asks the router to open a UDP port until ctx ends: *portmap.Mapper does.
type PortMapper interface {
	Map(ctx context.Context, inside netip.AddrPort, found func(outside netip.AddrPort)) error
}

// openWait is longer than a router needs that speaks any of the protocols.
const openWait = 10 * time.Second

// opened is what came of asking the router to open a port.
type opened struct {
	outside netip.AddrPort // valid: it did
	err     error
	asked   bool
}

// askRouter has a port opened, and closed again.
func askRouter(ctx context.Context, m PortMapper, all []*udp) (o opened) {
	own := netip.Addr{}
	for _, u := range all { // the address by which this machine reaches the world
		if at := u.main["4"]; at.IsValid() {
			if conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at)); err == nil {
				own = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
				conn.Close()
			}
		}
	}
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
		cancel() // it is enough to know, and is closed again
	})
	return o
}

func (o opened) finding(b behaviour) Finding {
	f := Finding{Check: "port mapping", Verdict: OK, Value: "no"}
	switch {
	case o.outside.IsValid():
		f.Value, f.Text, f.Addresses = "yes", "the router opens a port when it is asked, and has closed it again", []string{o.outside.String()}
	case errors.Is(o.err, portmap.ErrInside):
		f.Value, f.Text = "inside", "the router opens ports, but is itself behind another NAT: that one, or its owner, decides"
	case errors.Is(o.err, portmap.ErrNoRouter), !o.asked:
		f.Value, f.Text = "none", "no router was asked: none stands in front of this machine, or it may not be asked (-no-portmap)"
	case b.mapping.Symmetric():
		f.Text = "the router opens no port: turn on UPnP, NAT-PMP or PCP in it, which makes up for its symmetric NAT"
	default:
		f.Text = "the router opens no port when asked; holes can do without"
	}
	return f
}
