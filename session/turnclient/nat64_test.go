package turnclient

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/transport/v5"
)

// The prefix comes only from an address that embeds an address of ipv4only.arpa.
func TestNAT64Prefix(t *testing.T) {
	for _, tt := range []struct {
		found []string
		want  string
	}{
		{[]string{"64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"}, "64:ff9b::/96"},
		{[]string{"2001:db8:1:2::192.0.0.171"}, "2001:db8:1:2::/96"},
		{[]string{"2001:db8::1", "64:ff9b::192.0.0.170"}, "64:ff9b::/96"},
		{[]string{"64:ff9b::192.0.0.172"}, ""}, {[]string{"::ffff:192.0.0.170"}, ""}, {[]string{"192.0.0.170"}, ""},
		{nil, ""},
	} {
		var found []netip.Addr
		for _, a := range tt.found {
			found = append(found, netip.MustParseAddr(a))
		}
		got := prefixOf(found)
		if got.IsValid() != (tt.want != "") || got.IsValid() && got.String() != tt.want {
			t.Errorf("%v: %v, want %q", tt.found, got, tt.want)
		}
	}
}

// talking is a socket that remembers where it sends, and receives from a given address.
type talking struct {
	transport.UDPConn
	from net.Addr
	to   net.Addr
}

func (c *talking) WriteTo(b []byte, to net.Addr) (int, error) {
	c.to = to
	return len(b), nil
}

func (c *talking) ReadFrom([]byte) (int, net.Addr, error) { return 5, c.from, nil }

// Behind a NAT64, a socket that sends to an IPv4 address sends to its synthesized address, and packets from there seem
// to come from the IPv4 address. IPv6 addresses stay as they are, and so does everything on other networks.
func TestNAT64Translates(t *testing.T) {
	at := func(text string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(text)) }
	there := nat64{netip.MustParsePrefix("2001:db8:64::/96")}
	for _, tt := range []struct {
		nat64           nat64
		inside, outside string
	}{
		{there, "192.0.2.1:7", "[2001:db8:64::192.0.2.1]:7"}, {there, "[2001:db8::1]:7", "[2001:db8::1]:7"},
		{nat64{}, "192.0.2.1:7", "192.0.2.1:7"}, {nat64{}, "[2001:db8:64::192.0.2.1]:7", "[2001:db8:64::192.0.2.1]:7"},
	} {
		conn := &talking{from: at(tt.outside)}
		host := hostConn{conn, tt.nat64}
		if _, err := host.WriteTo([]byte("check"), at(tt.inside)); err != nil ||
			conn.to.String() != at(tt.outside).String() {
			t.Errorf("%s: sent to %v, want %s; %v", tt.inside, conn.to, tt.outside, err)
		}

		if _, from, err := host.ReadFrom(make([]byte, 5)); err != nil || from.String() != at(tt.inside).String() {
			t.Errorf("from %s: seems to come from %v, want %s; %v", tt.outside, from, tt.inside, err)
		}
	}

	network, err := newAgentNet(credentials{}, nil, nil, there)
	if err != nil {
		t.Fatal(err)
	}
	without, err := newAgentNet(credentials{}, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}

	if got, err := network.ResolveUDPAddr("udp6", "192.0.2.1:7"); err != nil || got.String() != "192.0.2.1:7" {
		t.Errorf("an IPv4 server over IPv6: %v, %v", got, err)
	}
	if got, err := without.ResolveUDPAddr("udp6", "192.0.2.1:7"); err == nil {
		t.Errorf("an IPv4 server over IPv6, without NAT64: %v", got)
	}
}
