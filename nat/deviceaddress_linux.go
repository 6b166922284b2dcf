//go:build linux && !android

package nat

import (
	"encoding/binary"
	"fmt"
	"net"
	"syscall"
)

// DeviceAddresses returns all addresses of this machine. It asks the kernel twice, however many there are: package net
// asks for all of them again for each device, which takes a machine with sixty container networks a tenth of a second.
func DeviceAddresses() ([]DeviceAddress, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	byIndex := make(map[int]net.Interface, len(devices))
	for _, d := range devices {
		byIndex[d.Index] = d
	}

	table, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil, fmt.Errorf("parse addresses: %w", err)
	}

	var all []DeviceAddress
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		device, ok := byIndex[int(binary.NativeEndian.Uint32(m.Data[4:]))] // ifa_index, rtnetlink(7)
		if !ok {
			continue // it is newer than the list of devices
		}

		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, fmt.Errorf("parse address: %w", err)
		}
		if a, ok := addressOf(device, &net.IPNet{IP: ownIP(attributes), Mask: mask(m.Data)}); ok {
			all = append(all, a)
		}
	}

	return all, nil
}

// ownIP returns this machine's address. On a point-to-point link that is not IFA_ADDRESS, which is the other end's.
func ownIP(attributes []syscall.NetlinkRouteAttr) (ip net.IP) {
	for _, a := range attributes {
		if a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && ip == nil {
			ip = a.Value
		}
	}
	return ip
}

// mask returns the netmask of an address message: ifa_family and ifa_prefixlen are its first bytes.
func mask(message []byte) net.IPMask {
	if message[0] == syscall.AF_INET {
		return net.CIDRMask(int(message[1]), 32)
	}
	return net.CIDRMask(int(message[1]), 128)
}
