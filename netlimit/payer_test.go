package netlimit

import (
	"net/netip"
	"testing"
)

func TestFoldCountsIPv6ByItsLink(t *testing.T) {
	for _, tt := range []struct {
		name, addr, want string
	}{
		{"IPv4", "192.0.2.7", "192.0.2.7/32"},
		{"IPv4 mapped into IPv6", "::ffff:192.0.2.7", "192.0.2.7/32"},
		{"IPv4 mapped, with a zone", "::ffff:192.0.2.7%eth0", "192.0.2.7/32"},
		{"IPv6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"the last bit of the /64", "2001:db8:1:3::", "2001:db8:1:3::/64"},
		{"link-local with a zone", "fe80::1%eth0", "fe80::/64"},
		{"loopback of IPv4", "127.0.0.1", "127.0.0.1/32"},
		{"loopback of IPv6", "::1", "::/64"},
		{"IPv4-compatible, which is not mapped", "::192.0.2.7", "::/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Fold(netip.MustParseAddr(tt.addr)); got.String() != tt.want {
				t.Errorf("Fold(%s) = %v, want %v", tt.addr, got, tt.want)
			}
		})
	}

	if got := Fold(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("an invalid address folds to %v", got)
	}
}

func TestFoldsAreThoseThatAPayerCountsBy(t *testing.T) {
	for a, want := range map[string][Levels]string{
		"192.0.2.7":            {"192.0.2.7/32", "invalid Prefix", "invalid Prefix"},
		"::ffff:192.0.2.7":     {"192.0.2.7/32", "invalid Prefix", "invalid Prefix"},
		"2001:db8:1:203::7%e0": {"2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"},
	} {
		who := PayerOf(netip.MustParseAddr(a)).path()
		for i, network := range Folds(netip.MustParseAddr(a)) {
			if network.String() != want[i] {
				t.Errorf("%s folds to %v at level %d, want %s", a, network, i, want[i])
			}
			if network.IsValid() != (i < len(who)) || network.IsValid() && who[i].id != network.Addr().As16() {
				t.Errorf("%s pays otherwise than as %v", a, network)
			}
		}
	}
	if got := Folds(netip.Addr{}); got != ([Levels]netip.Prefix{}) {
		t.Errorf("an invalid address folds to %v", got)
	}
}

// TestPayersAreOneWhereTheirNetworkIs compares two payers level by level.
func TestPayersAreOneWhereTheirNetworkIs(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       [levels]bool // /64, /56, /48
	}{
		{"the same /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::", [levels]bool{true, true, true}},
		{"the same /56", "2001:db8:1:200::1", "2001:db8:1:2ff::1", [levels]bool{false, true, true}},
		{"the next /56", "2001:db8:1:2ff::1", "2001:db8:1:300::1", [levels]bool{false, false, true}},
		{"the next /48", "2001:db8:1:ffff::1", "2001:db8:2::1", [levels]bool{false, false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := PayerOf(netip.MustParseAddr(tt.a)), PayerOf(netip.MustParseAddr(tt.b))
			for i, same := range tt.same {
				if (a.keys[i] == b.keys[i]) != same {
					t.Errorf("level %d: %v and %v", i, a.keys[i], b.keys[i])
				}
			}
		})
	}
}

func TestPayersOfDifferentKindsAreNeverOne(t *testing.T) {
	payers := map[string]Payer{
		"invalid":    PayerOf(netip.Addr{}),
		"IPv4":       PayerOf(netip.MustParseAddr("32.1.13.184")),
		"IPv4 zeros": PayerOf(netip.MustParseAddr("0.0.0.0")),
		"IPv6 zeros": PayerOf(netip.MustParseAddr("::")),
		"IPv6":       PayerOf(netip.MustParseAddr("2001:db8::")),
		"name zeros": Named([16]byte{}),
		"name":       Named(netip.MustParseAddr("2001:db8::").As16()),
	}

	seen := map[key]string{}
	for name, p := range payers {
		for _, k := range p.path() {
			if other, is := seen[k]; is {
				t.Errorf("%s and %s share %v", name, other, k)
			}
			seen[k] = name
		}
	}
}

func TestMappedAddressPaysAsItsIPv4Address(t *testing.T) {
	mapped, plain := netip.MustParseAddr("::ffff:192.0.2.7"), netip.MustParseAddr("192.0.2.7")
	if PayerOf(mapped) != PayerOf(plain) {
		t.Errorf("%v and %v", PayerOf(mapped), PayerOf(plain))
	}
}

func TestOnlyNamesAreNamed(t *testing.T) {
	for who, want := range map[Payer]bool{
		Named([16]byte{1}):                          true,
		Named([16]byte{}):                           true,
		PayerOf(netip.MustParseAddr("192.0.2.1")):   false,
		PayerOf(netip.MustParseAddr("2001:db8::1")): false,
		PayerOf(netip.Addr{}):                       false,
	} {
		if who.IsNamed() != want {
			t.Errorf("%v: %v", who, !want)
		}
	}
}
