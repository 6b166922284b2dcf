package nat

import (
	"net/netip"
	"testing"
)

func TestCompare(t *testing.T) {
	const a, b = "192.0.2.1", "192.0.2.2" // servers
	here := []netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:7"), netip.MustParseAddrPort("203.0.113.1:7")}
	for _, tt := range []struct {
		name    string
		answers [][2]string // server, mapped address
		want    Mapping
	}{
		{"nobody answers", nil, UnknownMapping},
		{"no NAT", [][2]string{{a + ":1", "203.0.113.1:7"}}, NoMapping},
		{"no NAT, asked twice", [][2]string{{a + ":1", "203.0.113.1:7"}, {b + ":1", "203.0.113.1:7"}}, NoMapping},
		{"one server is on this side", [][2]string{{a + ":1", "192.168.1.2:7"}, {b + ":1", "198.51.100.1:9"}}, AddressDependent},
		{"its own address, another port", [][2]string{{a + ":1", "203.0.113.1:8"}, {b + ":1", "203.0.113.1:8"}}, EndpointIndependent},
		{"one answer", [][2]string{{a + ":1", "198.51.100.1:9"}}, UnknownMapping},
		{"two ports alike", [][2]string{{a + ":1", "198.51.100.1:9"}, {a + ":2", "198.51.100.1:9"}}, EndpointIndependent},
		{"two ports differ", [][2]string{{a + ":1", "198.51.100.1:9"}, {a + ":2", "198.51.100.1:10"}}, AddressAndPortDependent},
		{"two addresses differ", [][2]string{{a + ":1", "198.51.100.1:9"}, {b + ":1", "198.51.100.1:10"}}, AddressDependent},
		{"two outside addresses", [][2]string{{a + ":1", "198.51.100.1:9"}, {b + ":1", "198.51.100.2:9"}}, AddressDependent},
		{"addresses differ, ports do not", [][2]string{{a + ":1", "198.51.100.1:9"}, {a + ":2", "198.51.100.1:9"}, {b + ":1", "198.51.100.1:10"}}, AddressDependent},
		{"all differ", [][2]string{{a + ":1", "198.51.100.1:9"}, {b + ":1", "198.51.100.1:10"}, {b + ":2", "198.51.100.1:11"}}, AddressAndPortDependent},
	} {
		var answers []Binding
		for _, x := range tt.answers {
			answers = append(answers, Binding{Server: netip.MustParseAddrPort(x[0]), Mapped: netip.MustParseAddrPort(x[1])})
		}
		if got := Compare(here, answers); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestMapping(t *testing.T) {
	for m, want := range map[Mapping][2]bool{
		UnknownMapping: {true, false}, NoMapping: {true, false}, EndpointIndependent: {true, false},
		AddressDependent: {true, true}, AddressAndPortDependent: {true, true}, "": {false, false}, "symmetric": {false, false},
	} {
		if m.Known() != want[0] || m.Symmetric() != want[1] {
			t.Errorf("%q is known: %t, symmetric: %t", m, m.Known(), m.Symmetric())
		}
	}
}
