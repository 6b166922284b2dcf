//go:build linux

package turnclient

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/test/natlab"
)

// On a real host with several networks, the address that leads out comes first, and no IPv6 link-local address is used.
func TestGatheringBeginsWithTheNetworkThatLeadsOut(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	lab := natlab.New(t)
	for _, a := range []natlab.Addressing{natlab.PrivateIPv4, natlab.PrivateDual, natlab.LinkLocal} {
		t.Run(a.Name, func(t *testing.T) {
			host := lab.Behind(a.Name, natlab.DualStack)
			host.Surround(30, a)
			host.Move(lab.Network(natlab.DualStack)) // now the last device is the one that leads out
			var devices []*transport.Interface
			err := host.Do(func() (err error) {
				devices, err = bestInterfaces()
				return err
			})
			if err != nil {
				t.Fatal(err)
			}

			chosen := map[bool][]netip.Addr{}
			for _, d := range devices {
				if d.Flags&net.FlagLoopback != 0 {
					continue
				}
				addresses, err := d.Addrs()
				if err != nil {
					t.Fatal(err)
				}

				for _, n := range addresses {
					ip := netip.MustParsePrefix(n.String()).Addr()
					if ip.Is6() && ip.IsLinkLocalUnicast() {
						t.Errorf("%s: %v was chosen", d.Name, n)
					}
					chosen[ip.Is4()] = append(chosen[ip.Is4()], ip)
				}
			}

			for is4, own := range map[bool]netip.Addr{true: host.IPv4(), false: host.IPv6()} {
				if c := chosen[is4]; len(c) == 0 || len(c) > MaxHosts || c[0] != own {
					t.Errorf("chose %v, want %s first of at most %d", c, own, MaxHosts)
				}
			}
		})
	}
}
