package nat

import (
	"net/netip"
	"testing"
)

func TestMappingFollowsFromTheAnswers(t *testing.T) {
	const (
		a1, a2 = "192.0.2.1:1", "192.0.2.1:2" // two ports of one server, and of another
		b1, b2 = "192.0.2.2:1", "192.0.2.2:2"

		outside9, outside10 = "198.51.100.1:9", "198.51.100.1:10" // mapped addresses
	)
	here := []netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:7"), netip.MustParseAddrPort("203.0.113.1:7")}
	for _, tt := range []struct {
		name    string
		answers [][2]string // server, mapped address
		want    Mapping
	}{
		{"nobody answers", nil, UnknownMapping},
		{"no NAT", [][2]string{{a1, "203.0.113.1:7"}}, NoMapping},
		{"no NAT, asked twice", [][2]string{{a1, "203.0.113.1:7"}, {b1, "203.0.113.1:7"}}, NoMapping},
		{"one server is on this side", [][2]string{{a1, "192.168.1.2:7"}, {b1, outside9}}, AddressDependent},
		{
			"its own address, another port",
			[][2]string{{a1, "203.0.113.1:8"}, {b1, "203.0.113.1:8"}},
			EndpointIndependent,
		},
		{"one answer", [][2]string{{a1, outside9}}, UnknownMapping},
		{"two ports alike", [][2]string{{a1, outside9}, {a2, outside9}}, EndpointIndependent},
		{"two ports differ", [][2]string{{a1, outside9}, {a2, outside10}}, AddressAndPortDependent},
		{"two addresses differ", [][2]string{{a1, outside9}, {b1, outside10}}, AddressDependent},
		{"two outside addresses", [][2]string{{a1, outside9}, {b1, "198.51.100.2:9"}}, AddressDependent},
		{
			"addresses differ, ports do not",
			[][2]string{{a1, outside9}, {a2, outside9}, {b1, outside10}},
			AddressDependent,
		},
		{
			"all differ",
			[][2]string{{a1, outside9}, {b1, outside10}, {b2, "198.51.100.1:11"}},
			AddressAndPortDependent,
		},
	} {
		var answers []Binding
		for _, x := range tt.answers {
			server, mapped := netip.MustParseAddrPort(x[0]), netip.MustParseAddrPort(x[1])
			answers = append(answers, Binding{Server: server, Mapped: mapped})
		}

		if got := Compare(here, answers); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestOnlyKnownMappingsAreKnown(t *testing.T) {
	for m, want := range map[Mapping][2]bool{ // known, symmetric
		UnknownMapping:          {true, false},
		NoMapping:               {true, false},
		EndpointIndependent:     {true, false},
		AddressDependent:        {true, true},
		AddressAndPortDependent: {true, true},
		"":                      {false, false},
		"symmetric":             {false, false},
	} {
		if m.Known() != want[0] || m.Symmetric() != want[1] {
			t.Errorf("%q is known: %t, symmetric: %t", m, m.Known(), m.Symmetric())
		}
	}
}
