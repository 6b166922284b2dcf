package p2p

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const testRelayID = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

// TestRelayIsWrittenAsAMultiaddr: what can be used, and what is refused with a word of how to write it.
func TestRelayIsWrittenAsAMultiaddr(t *testing.T) {
	good := "/dns/relay.example.org/udp/4001/quic-v1/p2p/" + testRelayID
	for text, want := range map[string]bool{
		good: true,
		"/dns4/relay.example.org/udp/4001/quic-v1/p2p/" + testRelayID:                   true,
		"/dns6/relay.example.org/udp/4001/quic-v1/p2p/" + testRelayID:                   true,
		"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + testRelayID:                            true,
		"/ip6/2001:db8::1/udp/4001/quic-v1/p2p/" + testRelayID:                          true,
		"/ip4/192.0.2.1/udp/0/quic-v1/p2p/" + testRelayID:                               false,
		"/ip4/192.0.2.1/tcp/4001/p2p/" + testRelayID:                                    false,
		"/ip4/192.0.2.1/udp/4001/quic-v1":                                               false,
		"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/somebody":                                  false,
		good + "/p2p-circuit":                                                           false,
		"/dnsaddr/relay.example.org/udp/4001/quic-v1/p2p/" + testRelayID:                false,
		"https://relay.example.org":                                                     false,
		"":                                                                              false,
		"/dns/" + strings.Repeat("a.", 300) + "org/udp/4001/quic-v1/p2p/" + testRelayID: false,
	} {
		if err := CheckRelay(text); (err == nil) != want || err != nil && !errors.Is(err, errRelay) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestRelayIsWrittenAtItsHost: as a name, or as an address of either family.
func TestRelayIsWrittenAtItsHost(t *testing.T) {
	key := publicKey(testKey("relay"))
	for host, want := range map[string]string{
		"relay.example.org": "/dns/relay.example.org/udp/4001/quic-v1/p2p/",
		"192.0.2.1":         "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/",
		"2001:db8::1":       "/ip6/2001:db8::1/udp/4001/quic-v1/p2p/",
	} {
		text, err := RelayAddress(host, 4001, key)
		if err != nil || !strings.HasPrefix(text, want) || CheckRelay(text) != nil {
			t.Errorf("%s: %q, %v", host, text, err)
		}
	}
	if text, err := RelayAddress("relay.example.org", 4001, key[1:]); err == nil || text != "" {
		t.Errorf("a torn key: %q, %v", text, err)
	}
}

// TestRelaysAreFew: the same one twice is one, and there are at most eight.
func TestRelaysAreFew(t *testing.T) {
	var texts []string
	for i := range maxRelays {
		text := fmt.Sprintf("/ip4/192.0.2.%d/udp/4001/quic-v1/p2p/%s", i, testRelayID)
		texts = append(texts, text, text)
	}
	if all, err := parseRelays(texts); err != nil || len(all) != maxRelays {
		t.Errorf("%d relays, %v", len(all), err)
	}
	if _, err := parseRelays(append(texts, "/ip4/192.0.2.99/udp/4001/quic-v1/p2p/"+testRelayID)); err == nil {
		t.Error("nine relays are not too many")
	}
}

func TestRelaysAsSTUNServers(t *testing.T) {
	behind := "/udp/4001/quic-v1/p2p/" + testRelayID
	got := STUNURLs([]string{"/ip6/2001:db8::1" + behind, "nonsense", "/dns4/relay.example" + behind})
	if want := []string{"stun:[2001:db8::1]:4001", "stun:relay.example:4001"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzRelay: what is taken for a relay has a host, a port and a name.
func FuzzRelay(f *testing.F) {
	f.Add("/dns/relay.example.org/udp/4001/quic-v1/p2p/" + testRelayID)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelay(text)
		if err == nil && (r.host == "" || r.port == 0 || r.id.Validate() != nil || r.network == "") {
			t.Errorf("%q is %+v", text, r)
		}
	})
}
