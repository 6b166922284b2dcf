package session

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/transport/v5"
)

// The prefix is taken from an address that stands for ipv4only.arpa's, and from nothing else.
func TestNAT64Prefix(t *testing.T) {
	for _, tt := range []struct {
		found []string
		want  string
	}{
		{[]string{"64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"}, "64:ff9b::/96"},
		{[]string{"2001:db8:1:2::192.0.0.171"}, "2001:db8:1:2::/96"},
		{[]string{"2001:db8::1", "64:ff9b::192.0.0.170"}, "64:ff9b::/96"},
		{[]string{"64:ff9b::192.0.0.172"}, ""}, {[]string{"::ffff:192.0.0.170"}, ""}, {[]string{"192.0.0.170"}, ""}, {nil, ""},
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

// talking remembers where it was told to send, and hears from whom it is told.
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

// Behind a NAT64 a socket sends to the address that stands for an IPv4 one, and hears from it as from that. IPv6 stays as it is, and so does
// everything elsewhere.
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
		if _, err := host.WriteTo([]byte("check"), at(tt.inside)); err != nil || conn.to.String() != at(tt.outside).String() {
			t.Errorf("%s: sent to %v, want %s; %v", tt.inside, conn.to, tt.outside, err)
		}
		if _, from, err := host.ReadFrom(make([]byte, 5)); err != nil || from.String() != at(tt.inside).String() {
			t.Errorf("from %s: heard as from %v, want %s; %v", tt.outside, from, tt.inside, err)
		}
	}
	network, err := newTurnNet(nil, nil, nil, there)
	if err != nil {
		t.Fatal(err)
	}
	without, err := newTurnNet(nil, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := network.ResolveUDPAddr("udp6", "192.0.2.1:7"); err != nil || got.String() != "192.0.2.1:7" {
		t.Errorf("an IPv4 server by IPv6: %v, %v", got, err)
	}
	if got, err := without.ResolveUDPAddr("udp6", "192.0.2.1:7"); err == nil {
		t.Errorf("an IPv4 server by IPv6, without NAT64: %v", got)
	}
}
