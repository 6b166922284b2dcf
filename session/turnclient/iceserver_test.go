package turnclient

import (
	"slices"
	"strings"
	"testing"
)

// Of the URLs that a relay names, only those of ICE servers are used. With the first of the others, the session would
// hang until memory runs out; see usableServers.
func TestUsableServersAreICEServers(t *testing.T) {
	good := []string{"turn:192.0.2.1:7881?transport=udp", "turn:relay.example:7881?transport=tcp",
		"turns:[2001:db8::1]:443?transport=tcp", "turn:relay.example", "turn:[::1]", "stun:192.0.2.1:7882"}
	bad := []string{"turn:[::1]x", "turns:[::1]rt=t?transport=tcp", "stun:[::1]x:1", "turn:", "turn::1", "turn:a:0",
		"turn:a:65536", "turn:a:b", "turn:a:1:2", "turn:a?transport=sctp", "turn:a?x=y",
		"stun:a?transport=udp", "http://a", "a:1", "turn://a:1", "turn:%zz:1", "turn:a b:1", "turn:a:1#x", "",
		"TURN:a:1"}
	if got := usableServers(slices.Concat(bad, good)); !slices.Equal(got, good) {
		t.Errorf("uses %q, want %q", got, good)
	}
}

// A relay's TURN servers over UDP answer Binding requests too; its second port serves for something else. STUN servers
// without a TURN server are a circuit relay's.
func TestSTUNServersOfASession(t *testing.T) {
	for _, tt := range []struct {
		name   string
		urls   []string
		want   string
		relays bool
	}{
		{"a relay", []string{"turn:192.0.2.1:1?transport=udp", "turn:192.0.2.1:2?transport=tcp",
			"turns:192.0.2.1:3?transport=tcp", "stun:192.0.2.1:4"}, "stun:192.0.2.1:1", true},
		{"a relay over TLS", []string{"turns:192.0.2.1:3?transport=tcp", "stun:192.0.2.1:4"}, "", true},
		{"circuit relays", []string{"stun:192.0.2.1:4001", "stun:[::1]x:1", "stun:relay.example:4001"},
			"stun:192.0.2.1:4001 stun:relay.example:4001", false},
		{"nothing usable", []string{"turnip:192.0.2.1:1", "turn:[::1]x"}, "", false},
		{"nothing", nil, "", false},
	} {
		c := &Client{cfg: Config{URLs: tt.urls}}
		if got := strings.Join(c.STUNURLs(t.Context()), " "); got != tt.want || Relays(tt.urls) != tt.relays {
			t.Errorf("%s: asks %q, and relays: %v", tt.name, got, Relays(tt.urls))
		}
	}
}

func TestSTUNServersAreResolved(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = "stun:192.0.2.1:3478"
	}
	for _, tt := range []struct {
		urls []string
		want string
	}{
		{[]string{"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp",
			"turns:192.0.2.1:443?transport=tcp", "stun:192.0.2.1:3479"}, "192.0.2.1:3478 192.0.2.1:3479"},
		{[]string{"turn:192.0.2.1", "stun:192.0.2.1:port", "stun:192.0.2.1:65536", "http://192.0.2.1:80",
			"stun:[2001:db8::1]:3478", ":", ""}, ""},
		{[]string{"turn:192.0.2.1:3478"}, "192.0.2.1:3478"},
		{many, strings.TrimSpace(strings.Repeat("192.0.2.1:3478 ", maxServers))},
	} {
		var got []string
		for _, s := range STUNServers(t.Context(), tt.urls) {
			got = append(got, s.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, want %q", tt.urls, got, tt.want)
		}
	}
}
