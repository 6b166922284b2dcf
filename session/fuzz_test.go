package session

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
)

// offeredSDP is a viewer's offer, as pion makes it.
const offeredSDP = "v=0\r\no=- 5409216797581331605 1795479604 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=msid-semantic:WMS " +
	"*\r\n" +
	"a=fingerprint:sha-256 " +
	"5E:BC:0B:B3:57:7E:5F:0B:BA:A1:28:32:20:4D:B1:45:E5:92:62:A0:FD:76:60:34:9A:2D:15:0D:A0:B3:E7:BA\r\n" +
	"a=extmap-allow-mixed\r\na=group:BUNDLE 0 1\r\na=ice-options:renomination\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" +
	"c=IN IP4 0.0.0.0\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=ice-ufrag:uFrg\r\na=ice-pwd:AunwLgNlzkJAwGWhhGElMEEsAHiGxPUx\r\na=rtcp-mux\r\n" +
	"a=rtcp-rsize\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=recvonly\r\nm=application 9 " +
	"UDP/DTLS/SCTP webrtc-datachannel\r\n" +
	"c=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:1\r\na=sendrecv\r\na=sctp-port:5000\r\na=ice-ufrag:uFrg\r\n" +
	"a=ice-pwd:AunwLgNlzkJAwGWhhGElMEEsAHiGxPUx\r\n"

// FuzzOfferSDP: whatever session description a paired viewer offers, the camera survives, and accepts or refuses it.
func FuzzOfferSDP(f *testing.F) {
	f.Add("", "", offeredSDP)
	f.Add("a=setup:actpass", "a=setup:passive", "")
	f.Add("m=video 9 UDP/TLS/RTP/SAVPF 96", "m=video 0 UDP/TLS/RTP/SAVPF 96", "")
	f.Add("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 ", "")
	f.Add("a=mid:0\r\n", "a=mid:1\r\n", "")
	f.Add("a=ice-ufrag:uFrg\r\n", "", "")
	f.Add("a=mid:0\r\n", "a=mid:0\r\n\ra=candidate:1 1 udp 1 192.0.2.1 9 typ host\n", "")

	f.Fuzz(func(t *testing.T, old, changed, sdp string) {
		if sdp == "" {
			sdp = strings.Replace(offeredSDP, old, changed, 1)
		}
		p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, log: quiet()})
		if err != nil {
			t.Fatal(err)
		}

		_ = p.setRemote(webrtc.SDPTypeOffer, sdp, quiet())
		counted := 0
		for _, n := range p.taken {
			counted += n
		}

		d := p.pc.RemoteDescription()
		if d != nil && strings.Contains(d.SDP, "\na=candidate:") || counted > strings.Count(sdp, "candidate") {
			t.Errorf("pion got candidates that were not counted, or more were counted than sent: %d counted", counted)
		}
		if err := p.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzICEServers: whatever ICE servers a relay grants, the session gets a peer connection or an error.
func FuzzICEServers(f *testing.F) {
	f.Add("turn:192.0.2.1:7881?transport=udp", "stun:192.0.2.1:7882", "u", "p")
	f.Add("turns:[::1]:443?transport=tcp", "turn:", "", "")
	f.Add("http://x", "stun:a?transport=udp", "\x00", "p")
	f.Add("turn:[::1]x", "turns:[::1]rt=t?transport=tcp", "u", "p") // pion/stun v4.0.1 loops for ever on this one
	f.Fuzz(func(t *testing.T, a, b, username, credential string) {
		p, err := newPeer(t.Context(), peerConfig{
			carriers: []media.Carrier{media.VP8Carrier},
			turn:     &handshake.TURN{URLs: []string{a, b}, Username: username, Credential: credential},
			log:      quiet(),
		})
		if err != nil {
			return
		}

		if err := p.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
}
