//go:build !linux || android

package nat

import (
	"fmt"

	"github.com/wlynxg/anet" // Android does not let programs list the interfaces in the way that package net does
)

// DeviceAddresses returns all addresses of this machine.
func DeviceAddresses() (all []DeviceAddress, err error) {
	devices, err := anet.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, device := range devices {
		addresses, err := anet.InterfaceAddrsByInterface(&device)
		if err != nil {
			continue // the device has just gone
		}
		for _, one := range addresses {
			if a, ok := addressOf(device, one); ok {
				all = append(all, a)
			}
		}
	}

	return all, nil
}
