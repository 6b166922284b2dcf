package nat

import (
	"net"
	"net/netip"
)

// DeviceAddress is an address of this machine, and the device that has it.
type DeviceAddress struct {
	Device net.Interface
	Prefix netip.Prefix // without a zone
}

// addressOf converts an address of package net, and reports whether it is one of IP.
func addressOf(device net.Interface, a net.Addr) (DeviceAddress, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return DeviceAddress{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return DeviceAddress{device, netip.PrefixFrom(ip.Unmap(), bits)}, ok
}
