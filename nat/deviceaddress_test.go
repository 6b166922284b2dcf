//go:build linux

package nat

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// TestDeviceAddressesAreThoseOfEveryDevice: DeviceAddresses returns what package net returns for each device, however
// many there are.
func TestDeviceAddressesAreThoseOfEveryDevice(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	host := natlab.New(t).Behind("host", natlab.DualStack)
	host.Surround(9, natlab.PrivateDual)
	var got, want []string
	err := host.Do(func() error {
		for {
			before, err1 := packageNets()
			all, err2 := DeviceAddresses()
			after, err3 := packageNets()
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			if !slices.Equal(before, after) { // the kernel adds link-local addresses on its own time
				continue
			}

			want = after
			for _, a := range all {
				got = append(got, fmt.Sprint(a.Device.Index, a.Device.Name, a.Device.Flags, " ", a.Prefix))
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}

	slices.Sort(got)
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// packageNets returns the addresses of all devices as package net knows them.
func packageNets() (all []string, err error) {
	devices, err := net.Interfaces()
	for _, d := range devices {
		addresses, err2 := d.Addrs()
		err = errors.Join(err, err2)
		for _, a := range addresses {
			all = append(all, fmt.Sprint(d.Index, d.Name, d.Flags, " ", a))
		}
	}
	slices.Sort(all)
	return all, err
}

func BenchmarkDeviceAddresses(b *testing.B) {
	natlab.Need(b)
	for _, n := range []int{0, 10, 30, 60} {
		b.Run(fmt.Sprint(n, " networks"), func(b *testing.B) {
			host := natlab.New(b).Behind("host", natlab.DualStack)
			host.Surround(n, natlab.PrivateDual)
			err := host.Do(func() error {
				for b.Loop() {
					if _, err := DeviceAddresses(); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
