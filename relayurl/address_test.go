package relayurl

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestHostsOfThisMachine(t *testing.T) {
	for host, want := range map[string]struct{ loopback, unspecified bool }{
		"localhost":         {true, false},
		"127.0.0.2":         {true, false},
		"::1":               {true, false},
		"":                  {false, true},
		"0.0.0.0":           {false, true},
		"::":                {false, true},
		"192.0.2.1":         {false, false},
		"relay.example":     {false, false},
		"localhost.example": {false, false},
	} {
		if l, u := IsLoopbackHost(host), IsUnspecifiedHost(host); l != want.loopback || u != want.unspecified {
			t.Errorf("%q: loopback %t, unspecified %t", host, l, u)
		}
	}
}

func TestTURNURLsNamePortAndTransport(t *testing.T) {
	for text, want := range map[string]bool{
		"turn:relay.example:3478?transport=udp":  true,
		"turn:192.0.2.1:3478?transport=tcp":      true,
		"turns:[2001:db8::1]:443?transport=tcp":  true,
		"turns:relay.example:443?transport=udp":  false, // TLS runs over TCP
		"stun:relay.example:3478?transport=udp":  false,
		"turn:relay.example:3478":                false,
		"turn:relay.example:3478?transport=":     false,
		"turn:relay.example?transport=udp":       false,
		"turn:relay.example:0?transport=udp":     false,
		"turn:relay.example:65536?transport=udp": false,
		"turn::3478?transport=udp":               false,
		"turn:relay example:3478?transport=udp":  false,
		"turn:[relay.example]:1?transport=udp":   false,
		"relay.example:3478":                     false,
		"":                                       false,
	} {
		if got := IsTURN(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// FuzzIsTURN: a TURN URL has a host that can be looked up, and a port that can be dialed.
func FuzzIsTURN(f *testing.F) {
	for _, seed := range []string{
		"turn:relay.example:3478?transport=udp",
		"turns:[2001:db8::1]:443?transport=tcp",
		"turn:192.0.2.1:0?transport=udp",
		"turn:a:1?transport=udp?",
		"turn:[::1]1?transport=udp",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !IsTURN(text) {
			return
		}

		u, err := url.Parse(text)
		if err != nil || u.Scheme != "turn" && u.Scheme != "turns" || u.Query().Get("transport") == "" {
			t.Fatalf("%q is no TURN URL: %v", text, err)
		}
		host, port, err := net.SplitHostPort(u.Opaque)
		if err != nil || strings.ContainsAny(host, " /@?#\\") {
			t.Errorf("%q has the host %q: %v", text, host, err)
		}
		if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
			t.Errorf("%q has port %q: %v", text, port, err)
		}
	})
}
