package relay

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var testNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.1/32"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:ffff::/48"),
}

func testProxies(header ProxyHeader) *proxies { return &proxies{testNetworks, header} }

func TestClientIsTheFirstAddressBeforeTrustedProxies(t *testing.T) {
	const xff, rfc = XForwardedFor, Forwarded
	for _, tt := range []struct {
		name, peer string
		header     ProxyHeader
		lines      []string
		want       string // empty if the request is refused
	}{
		{"one proxy", "127.0.0.1", xff, []string{"192.0.2.7"}, "192.0.2.7"},
		{"one proxy, mapped", "::ffff:127.0.0.1", xff, []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		{"with a port", "127.0.0.1", xff, []string{"192.0.2.7:443"}, "192.0.2.7"},
		{"IPv6", "::1", xff, []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 with a port", "::1", xff, []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"a stranger's claim before it", "127.0.0.1", xff, []string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7"},
		{"a stranger's claim in a line of its own", "127.0.0.1", xff, []string{"198.51.100.1", "192.0.2.7"},
			"192.0.2.7"},
		{"a stranger's nonsense before it", "127.0.0.1", xff, []string{"\"<script>,,, 192.0.2.7"}, "192.0.2.7"},
		{"a stranger claims to be a proxy", "127.0.0.1", xff, []string{"10.0.0.1, 192.0.2.7"}, "192.0.2.7"},
		{"two proxies", "127.0.0.1", xff, []string{"198.51.100.1, 192.0.2.7, 10.0.0.1"}, "192.0.2.7"},
		{"all are proxies", "127.0.0.1", xff, []string{"10.0.0.2, 10.0.0.1"}, "10.0.0.2"},
		{"no header", "127.0.0.1", xff, nil, "127.0.0.1"},
		{"empty elements", "127.0.0.1", xff, []string{", 192.0.2.7 ,, ", ""}, "192.0.2.7"},
		{"one that does not tell", "127.0.0.1", xff, []string{"192.0.2.7, unknown, 10.0.0.1"}, "10.0.0.1"},
		{"nonsense of a proxy", "127.0.0.1", xff, []string{"192.0.2.7, relay.example"}, ""},
		{"zone", "127.0.0.1", xff, []string{"fe80::1%eth0"}, ""},
		{"unspecified", "127.0.0.1", xff, []string{"0.0.0.0"}, ""},
		{"multicast", "127.0.0.1", xff, []string{"ff02::1"}, ""},
		{"bracketed IPv4", "127.0.0.1", xff, []string{"[192.0.2.7]"}, ""},
		{"bracketed IPv4 with a port", "127.0.0.1", xff, []string{"[192.0.2.7]:1"}, ""},
		{"leading zeros", "127.0.0.1", xff, []string{"192.0.02.7"}, ""},
		{"port out of range", "127.0.0.1", xff, []string{"192.0.2.7:65536"}, ""},
		{"a stranger's header", "192.0.2.9", xff, []string{"198.51.100.1"}, "192.0.2.9"},

		{"RFC 7239", "127.0.0.1", rfc, []string{`for=192.0.2.7;proto=https;by=203.0.113.43`}, "192.0.2.7"},
		{"RFC 7239, quoted", "127.0.0.1", rfc, []string{`FOR="192.0.2.7:443"`}, "192.0.2.7"},
		{"RFC 7239, spaces", "127.0.0.1", rfc, []string{`proto=https ; for="[2001:db8::7]:_x"`}, ""},
		{"RFC 7239, IPv6 alone", "127.0.0.1", rfc, []string{`proto=https;for="[2001:db8::7]:_x"`}, "2001:db8::7"},
		{"RFC 7239, escaped", "127.0.0.1", rfc, []string{`for="192\.0.2.7"`}, "192.0.2.7"},
		{"RFC 7239, two proxies", "127.0.0.1", rfc, []string{`for=198.51.100.1, for=192.0.2.7`, `for=10.0.0.1`},
			"192.0.2.7"},
		{"RFC 7239, obfuscated", "127.0.0.1", rfc, []string{`for=192.0.2.7, for=_hidden`}, "127.0.0.1"},
		{"RFC 7239, without for", "127.0.0.1", rfc, []string{`for=192.0.2.7, proto=https`}, "127.0.0.1"},
		{"RFC 7239, for twice", "127.0.0.1", rfc, []string{`for=192.0.2.7;for=192.0.2.8`}, ""},
		{"RFC 7239, an open quote", "127.0.0.1", rfc, []string{`for=198.51.100.1;x=", for=192.0.2.7`}, ""},
		{"RFC 7239, a quote that swallows", "127.0.0.1", rfc, []string{`for=198.51.100.1;x=", for="[2001:db8::7]"`},
			""},
		{"RFC 7239, an open quote in another line", "127.0.0.1", rfc, []string{`for="`, `for=192.0.2.7`}, "192.0.2.7"},
		{"RFC 7239, control character", "127.0.0.1", rfc, []string{"for=\"192.0.2.7\x01\""}, ""},
		{"RFC 7239, no value", "127.0.0.1", rfc, []string{"for"}, ""},

		{"PROXY told before", "127.0.0.1", PROXYProtocol, []string{"198.51.100.1"}, "127.0.0.1"},
	} {
		h := http.Header{"X-Forwarded-For": tt.lines}
		if tt.header == Forwarded {
			h = http.Header{"Forwarded": tt.lines, "X-Forwarded-For": {"198.51.100.99"}}
		}
		got, err := testProxies(tt.header).client(netip.MustParseAddr(tt.peer), h)
		if tt.want == "" {
			if !errors.Is(err, errForwarded) {
				t.Errorf("%s: %v, %v, want it refused", tt.name, got, err)
			}
			continue
		}

		if err != nil || got.Unmap() != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

// FuzzForwarded: whatever a stranger writes, the address that counts is the one that the proxy adds, in the stranger's
// line or in a line of its own, or the request is refused.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{
		"", "198.51.100.1", `for="`, `for=_a;by="x`, `for=10.0.0.1, for="[::1]"`, "10.0.0.1,unknown", `x="\`, ",,;=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, strangers string) {
		if strings.ContainsAny(strangers, "\r\n\x00") {
			t.Skip() // no header holds these
		}
		want, peer := netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("127.0.0.1")
		for header, added := range map[ProxyHeader]string{
			XForwardedFor: "2001:db8::7",
			Forwarded:     `for="[2001:db8::7]:443";proto=https`,
		} {
			p := testProxies(header)
			name := map[ProxyHeader]string{XForwardedFor: "X-Forwarded-For", Forwarded: "Forwarded"}[header]
			for _, lines := range [][]string{
				{strangers, added}, {strangers + ", " + added}, {strangers + "," + added},
			} {
				got, err := p.client(peer, http.Header{name: lines})
				if err == nil && got != want || len(lines) == 2 && err != nil {
					t.Errorf("%s %q: %v, %v", header, lines, got, err)
				}
			}
		}
	})
}
