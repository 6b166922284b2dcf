package portmap

import (
	"strings"
	"testing"
)

// TestDefaultRouteIsFound: it is the one with the lowest metric that is up and has a gateway.
func TestDefaultRouteIsFound(t *testing.T) {
	const (
		head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

		router  = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
		other   = "eth0\t00000000\tFE02A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
		network = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
		wifi    = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
		tunnel  = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
		down    = "eth0\t00000000\t0101A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0\n"
		half    = "tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"
		short   = "eth0\t00000000\t0101A8\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
	)
	for _, tt := range []struct{ name, table, want string }{
		{"a home", head + router + network, "192.168.1.1"},
		{"two ways", head + wifi + other, "192.168.2.254"},
		{"a tunnel before the router", head + tunnel + router, "192.168.1.1"},
		{"down", head + down, ""},
		{"half the world", head + half, ""},
		{"none", head, ""},
		{"torn", head + short + "eth0\t00000000\tx\n", ""},
	} {
		got, err := parseRoutes(strings.NewReader(tt.table))
		if tt.want == "" && err == nil || tt.want != "" && got.String() != tt.want {
			t.Errorf("%s: %v, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add("eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")
	f.Fuzz(func(t *testing.T, table string) {
		if a, err := parseRoutes(strings.NewReader(table)); err == nil && !a.Is4() {
			t.Errorf("gateway %v", a)
		}
	})
}
