package session

import (
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// What a relay names as ICE servers is used if it is one. The first of the others would hang the session until memory is gone: see usableServers.
func TestICEServers(t *testing.T) {
	good := []string{"turn:192.0.2.1:7881?transport=udp", "turn:relay.example:7881?transport=tcp", "turns:[2001:db8::1]:443?transport=tcp", "turn:relay.example", "turn:[::1]", "stun:192.0.2.1:7882"}
	bad := []string{"turn:[::1]x", "turns:[::1]rt=t?transport=tcp", "stun:[::1]x:1", "turn:", "turn::1", "turn:a:0", "turn:a:65536", "turn:a:b", "turn:a:1:2", "turn:a?transport=sctp", "turn:a?x=y",
		"stun:a?transport=udp", "http://a", "a:1", "turn://a:1", "turn:%zz:1", "turn:a b:1", "turn:a:1#x", "", "TURN:a:1"}
	if got := usableServers(slices.Concat(bad, good)); !slices.Equal(got, good) {
		t.Errorf("used are %q, want %q", got, good)
	}
	p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, turn: &TURN{URLs: slices.Concat(bad, good), Username: "u", Credential: "c"}, log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pc.GracefulClose(); err != nil {
		t.Error(err)
	}
	for _, relayOnly := range []bool{false, true} {
		p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, relayOnly: relayOnly, turn: &TURN{URLs: bad, Username: "u", Credential: "c"}, log: quiet()})
		if err != nil {
			t.Fatalf("with none that can be used: %v", err)
		}
		if err := p.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	}
}
