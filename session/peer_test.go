package session

import (
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
)

// Whatever ICE servers a relay names, the session starts. With the first of the unusable ones, pion would hang until
// memory runs out.
func TestPeerSurvivesAnyICEServers(t *testing.T) {
	usable := []string{"turn:192.0.2.1:7881?transport=udp", "turn:relay.example:7881?transport=tcp",
		"turns:[2001:db8::1]:443?transport=tcp", "turn:relay.example", "turn:[::1]", "stun:192.0.2.1:7882"}
	unusable := []string{"turn:[::1]x", "turns:[::1]rt=t?transport=tcp", "stun:[::1]x:1", "turn:", "turn::1",
		"turn:a:0", "turn:a:65536", "turn:a:b", "turn:a:1:2", "turn:a?transport=sctp", "turn:a?x=y",
		"stun:a?transport=udp", "http://a", "a:1", "turn://a:1", "turn:%zz:1", "turn:a b:1", "turn:a:1#x", "",
		"TURN:a:1"}
	for _, tt := range []struct {
		name      string
		urls      []string
		relayOnly bool
	}{
		{"some can be used", slices.Concat(unusable, usable), false},
		{"some can be used, by the relay only", slices.Concat(unusable, usable), true},
		{"none can be used", unusable, false},
		{"none can be used, by the relay only", unusable, true},
	} {
		p, err := newPeer(t.Context(), peerConfig{
			carriers:  []media.Carrier{media.VP8Carrier},
			relayOnly: tt.relayOnly,
			turn:      &handshake.TURN{URLs: tt.urls, Username: "u", Credential: "c"},
			log:       quiet(),
		})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}

		if err := p.pc.GracefulClose(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
