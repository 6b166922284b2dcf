package portmap

import (
	"fmt"
	"net"
	"net/netip"
)

// route is the default gateway, and this host's address towards it.
type route struct{ gateway, local netip.Addr }

// towards finds the address from which this host reaches a gateway. It sends nothing.
func towards(gateway netip.Addr) (route, error) {
	conn, err := net.Dial("udp4", netip.AddrPortFrom(gateway, controlPort).String())
	if err != nil {
		return route{}, fmt.Errorf("find own address: %w", err)
	}
	defer conn.Close()

	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return route{}, fmt.Errorf("find own address: %w", ErrNoRouter)
	}
	return route{gateway, local.AddrPort().Addr().Unmap()}, nil
}
