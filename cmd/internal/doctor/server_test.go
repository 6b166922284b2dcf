package doctor

import (
	"slices"
	"testing"
)

func TestParseServers(t *testing.T) {
	got := parseServers([]string{"turn:relay.example:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
		"stun:192.0.2.1:3479", "turns:relay.example:443?transport=tcp",
		"turn:relay.example", "stun:a:0", "stun:a:65536", "http://relay.example:80", "stun::1", "", "%"})
	want := []server{{"turn", false, "relay.example", 3478}, {"turn", true, "2001:db8::1", 3478},
		{"stun", false, "192.0.2.1", 3479}, {"turns", true, "relay.example", 443}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}

	if got := parseServers(slices.Repeat([]string{"stun:a:1"}, 100)); len(got) != maxServers {
		t.Errorf("%d servers are asked, want %d at most", len(got), maxServers)
	}
	for url, want := range map[string]server{"https://relay.example": {"turns", true, "relay.example", 443},
		"https://relay.example:8443": {"turns", true, "relay.example", 8443},
		"http://127.0.0.1:7880":      {"turn", true, "127.0.0.1", 7880}} {
		got := usualServers(url)
		if len(got) != 4 || got[3] != want || got[2].port != 3479 || got[0].host != want.host {
			t.Errorf("the usual servers of %s: %+v", url, got)
		}
	}
}

// FuzzParseServer: whatever a relay says, an accepted server names a host and a port, and nothing breaks.
func FuzzParseServer(f *testing.F) {
	f.Add("turn:relay.example:3478?transport=udp")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := parseServer(text)
		if ok && (s.host == "" || s.port == 0 || s.kind == "turns" && !s.tcp) {
			t.Errorf("%q: %+v", text, s)
		}
	})
}
