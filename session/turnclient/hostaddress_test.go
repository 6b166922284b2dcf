package turnclient

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/nat"
)

// hostsOf parses lines of the form "device address kind", in the order in which the system lists the addresses.
func hostsOf(t *testing.T, lines ...string) (all []hostAddress) {
	t.Helper()
	devices := make(map[string]net.Interface)
	kinds := []string{"primary", "plain", "link-local", "tunnel", "virtual"}
	for _, line := range lines {
		f := strings.Fields(line)
		if _, known := devices[f[0]]; !known {
			devices[f[0]] = net.Interface{Index: 1 + len(devices), Name: f[0]}
		}
		all = append(all, hostAddress{
			DeviceAddress: nat.DeviceAddress{Device: devices[f[0]],
				Prefix: netip.PrefixFrom(netip.MustParseAddr(f[1]), 24)},
			kind: networkKind(slices.Index(kinds, f[2])),
		})
	}

	return all
}

func TestBestAddressOfEachKindOfNetworkComesFirst(t *testing.T) {
	var bridges []string
	for i := range 30 {
		bridges = append(bridges, fmt.Sprintf("br-%d 172.%d.0.1 virtual", i, 17+i),
			fmt.Sprintf("br-%d fd00:%x::1 virtual", i, 1+i))
	}

	for _, tt := range []struct {
		name string
		all  []string
		want string
	}{
		{"nothing is left out of a plain host",
			[]string{"eth0 192.168.1.7 primary", "eth0 2001:db8::7 primary", "eth0 2001:db8::8 plain",
				"eth0 fd00::7 plain"},
			"192.168.1.7 2001:db8::7 2001:db8::8 fd00::7"},
		{"thirty bridges leave room for what leads somewhere",
			append(slices.Clone(bridges), "wlan0 192.168.1.7 primary", "eth1 10.1.0.7 plain", "tun0 10.8.0.2 tunnel",
				"wlan0 2001:db8::7 primary"),
			"192.168.1.7 2001:db8::7 10.1.0.7 10.8.0.2 fd00:1::1 172.17.0.1 fd00:2::1 fd00:3::1"},
		{"bridges alone are better than nothing",
			bridges, "172.17.0.1 fd00:1::1 172.18.0.1 fd00:2::1 172.19.0.1 fd00:3::1 172.20.0.1 fd00:4::1"},
		{"a second address of a device comes after every device's first",
			[]string{"eth0 10.0.0.1 primary", "eth0 10.0.0.2 plain", "eth0 10.0.0.3 plain", "eth0 10.0.0.4 plain",
				"eth1 10.1.0.1 plain", "eth2 10.2.0.1 plain"},
			"10.0.0.1 10.1.0.1 10.2.0.1 10.0.0.2"},
		{"one of each kind, beside five LANs",
			[]string{"eth1 10.1.0.1 plain", "eth2 10.2.0.1 plain", "eth3 10.3.0.1 plain", "eth4 10.4.0.1 plain",
				"eth0 10.0.0.1 primary", "tun0 10.8.0.1 tunnel", "docker0 172.17.0.1 virtual"},
			"10.0.0.1 10.1.0.1 10.8.0.1 172.17.0.1"},
		{"one VPN of five, beside a LAN",
			[]string{"tun0 10.8.0.1 tunnel", "tun1 10.8.1.1 tunnel", "tun2 10.8.2.1 tunnel", "tun3 10.8.3.1 tunnel",
				"tun4 10.8.4.1 tunnel", "eth0 10.0.0.1 plain"},
			"10.0.0.1 10.8.0.1 10.8.1.1 10.8.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, a := range bestHosts(hostsOf(t, tt.all...)) {
				got = append(got, a.Prefix.Addr().String())
			}
			wanted := strings.Fields(tt.want)
			for _, is4 := range []bool{true, false} { // the order counts within one IP version, as ICE pairs only those
				other := func(a string) bool { return netip.MustParseAddr(a).Is4() != is4 }
				if g, w := slices.DeleteFunc(slices.Clone(got), other),
					slices.DeleteFunc(slices.Clone(wanted), other); !slices.Equal(g, w) {
					t.Errorf("chose %v, want %v", g, w)
				}
			}
		})
	}
}

func TestNetworksAreKnownByTheirDevices(t *testing.T) {
	for _, tt := range []struct {
		device  string
		flags   net.Flags
		address string
		want    networkKind
	}{
		{"eth0", 0, "192.168.1.7", plainNetwork},
		{"wlp3s0", 0, "2001:db8::7", plainNetwork},
		{"en0", 0, "169.254.3.4", linkLocalNetwork},
		{"docker0", 0, "172.17.0.1", virtualNetwork},
		{"br-0123456789ab", 0, "172.18.0.1", virtualNetwork},
		{"vEthernet (WSL)", 0, "172.29.0.1", virtualNetwork},
		{"VirtualBox Host-Only Network", 0, "192.168.56.1", virtualNetwork},
		{"veth12", 0, "169.254.9.9", virtualNetwork},
		{"wg0", net.FlagPointToPoint, "10.8.0.2", tunnelNetwork},
		{"utun4", net.FlagPointToPoint, "100.100.1.2", tunnelNetwork},
	} {
		if got := kindOf(net.Interface{Name: tt.device, Flags: tt.flags},
			netip.MustParseAddr(tt.address)); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.device, tt.address, got, tt.want)
		}
	}
}
