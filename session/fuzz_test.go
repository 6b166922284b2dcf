package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pion/stun/v3"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// fuzzSecret is a session secret that every fuzz worker shares.
func fuzzSecret() *secret {
	return &secret{key: bytes.Repeat([]byte{1}, 32), id: envelope.SessionID{2}, camera: identity.Fingerprint{3}, viewer: identity.Fingerprint{4}, randomC: bytes.Repeat([]byte{5}, 32)}
}

// FuzzOpenRecord: only the record itself opens, once.
func FuzzOpenRecord(f *testing.F) {
	send, _ := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
	wire := sealed(f, send, message{Type: "hello"})
	f.Add(wire)
	f.Add(wire[:recordHeader])
	f.Add([]byte{recordVersion})
	f.Add(append([]byte{recordVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire[recordHeader:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, r := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
		m, err := r.open(b)
		if (err == nil) != bytes.Equal(b, wire) || err != nil && (m.Type != "" || r.next != 0) {
			t.Fatalf("opens: %t (%v), as %+v; next is %d", err == nil, err, m, r.next)
		}
		if _, err := r.open(b); err == nil {
			t.Error("opens twice")
		}
	})
}

// FuzzRecordInside: what the other end seals by a program of its own is a message that is written as it was read, or none.
func FuzzRecordInside(f *testing.F) {
	for _, seed := range []string{`{"type":"hello","name":"x"}`, `{"type":"candidate","candidate":"","mid":"0"}`, `{"type":"challenge","challenge":"AAAAAAAAAAA"}`, `{"type":"status","code":"ok","text":"\u202e\u001b[2J"}`, `["type"]`, `{"challenge":"*"}`, `{"TYPE":"bye","type":null}`, ``} {
		f.Add([]byte(seed))
	}
	for _, size := range []int{recordMax - recordLeast, recordMax - recordLeast + 1} {
		f.Add([]byte(`{"type":"bye","reason":"` + strings.Repeat("x", size-26) + `"}`))
	}
	f.Fuzz(func(t *testing.T, inside []byte) {
		send, r := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
		header := []byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 0}
		m, err := r.open(send.key.aead.Seal(header, send.key.nonce(0), inside, header))
		if err != nil {
			if tooLong := len(inside)+recordLeast > recordMax; tooLong != errors.Is(err, ErrRecord) || !tooLong && !errors.Is(err, ErrMalformed) || m.Type != "" {
				t.Errorf("%d bytes: %+v, %v", len(inside), m, err)
			}
			return
		}
		if len(inside)+recordLeast > recordMax {
			t.Errorf("%d bytes are a record", len(inside)+recordLeast)
		}
		send.next = 1
		if again, err := r.open(sealed(t, send, m)); err != nil && len(inside) < recordMax/8 || err == nil && !sameMessage(again, m) {
			t.Errorf("%+v is written as what reads %+v, %v", m, again, err)
		}
	})
}

func sameMessage(a, b message) bool {
	challenges := bytes.Equal(a.Challenge, b.Challenge)
	a.Challenge, b.Challenge = nil, nil
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return challenges && err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// fuzzPairs is a pair that every fuzz worker shares.
func fuzzPairs(f *testing.F) (camera, viewer *envelope.Pair) {
	f.Helper()
	c, err1 := identity.FromSeeds([32]byte{1}, [32]byte{2})
	v, err2 := identity.FromSeeds([32]byte{3}, [32]byte{4})
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	return &envelope.Pair{Self: c, Role: identity.Camera, Peer: v.Bundle(), Secret: envelope.Secret{5}, MailboxSecret: envelope.Secret{6}},
		&envelope.Pair{Self: v, Role: identity.Viewer, Peer: c.Bundle(), Secret: envelope.Secret{5}, MailboxSecret: envelope.Secret{6}}
}

// described is a whole body with something changed, or another body.
func described(whole []byte, old, changed string, body []byte) []byte {
	if len(body) > 0 {
		return body
	}
	return bytes.Replace(whole, []byte(old), []byte(changed), 1)
}

// FuzzParseOffer: an offer has all its keys, is of one kind and no longer than it may be, and is written as it was read.
func FuzzParseOffer(f *testing.F) {
	o := anOffer()
	o.KEM, o.Random, o.Challenge = make(blob, kemPublicSize), make(blob, 32), make(blob, challengeSize)
	whole := encoded(f, o)
	f.Add("", "", []byte{})
	f.Add(`"carriers":["h264","vp8"]`, `"carriers":["a","b","c","d","e","f","g","h","i"]`, []byte{})
	f.Add(`{`, `{"still":true,`, []byte{})
	f.Add(`AAAA"`, `AAA"`, []byte{})
	f.Add("", "", []byte(`{"turn":{"urls":[""]}}`))
	f.Fuzz(func(t *testing.T, old, changed string, body []byte) {
		o, err := parseOffer(described(whole, old, changed, body))
		if err != nil {
			if o != nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", o, err)
			}
			return
		}
		if len(o.KEM) != kemPublicSize || len(o.Random) != 32 || len(o.Challenge) != challengeSize || len(o.SDP) > maxSDP || len(o.Carriers) > 8 || o.Still == (o.SDP != "") {
			t.Errorf("%+v is an offer", o)
		}
		if again, err := parseOffer(encoded(t, o)); err != nil || !reflect.DeepEqual(again, o) {
			t.Errorf("%+v is written as what reads %+v, %v", o, again, err)
		}
	})
}

// FuzzParseAnswer: likewise an answer, which is of the kind that was asked for.
func FuzzParseAnswer(f *testing.F) {
	whole := encoded(f, answer{SDP: "v=0", Enc: make(blob, kemEncSize), Random: make(blob, 32), Carrier: "vp8", Name: "front door"})
	f.Add("", "", []byte{}, false)
	f.Add("", "", []byte{}, true)
	f.Add(`"sdp":"v=0",`, ``, []byte{}, true)
	f.Add(`AAAA"`, `AAA"`, []byte{}, false)
	f.Add("", "", []byte(`{"sdp":"v=0"}`), false)
	f.Fuzz(func(t *testing.T, old, changed string, body []byte, still bool) {
		a, err := parseAnswer(described(whole, old, changed, body), still)
		if err != nil {
			if a != nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", a, err)
			}
			return
		}
		if len(a.Enc) != kemEncSize || len(a.Random) != 32 || len(a.SDP) > maxSDP || still == (a.SDP != "") {
			t.Errorf("%+v is an answer; a still: %t", a, still)
		}
		if again, err := parseAnswer(encoded(t, a), still); err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%+v is written as what reads %+v, %v", a, again, err)
		}
	})
}

// FuzzReply: what a camera seals as its answer or refusal by a program of its own is an answer with all its keys, a refusal that a
// terminal may show, or malformed; never an alarm about the relay.
func FuzzReply(f *testing.F) {
	camera, viewer := fuzzPairs(f)
	h, err := newHandshake(viewer)
	if err != nil {
		f.Fatal(err)
	}
	box := viewer.Mailbox(envelope.ToCamera, 1)
	if err := h.seal(box, offer{SDP: "v=0", Carriers: []string{"vp8"}, Challenge: make(blob, challengeSize)}, time.Now()); err != nil {
		f.Fatal(err)
	}
	opened, err := camera.Open(box, h.wire, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	cfg := CameraConfig{Pair: camera, Offer: opened, OfferWire: h.wire}
	f.Add([]byte(`{"code":"busy","text":"\u001b[2Jwatched from too many places"}`), true)
	f.Add([]byte(`{"sdp":"v=0","enc":"","random":""}`), false)
	f.Add([]byte(`null`), true)
	f.Add(encoded(f, answer{SDP: "v=0", Enc: make(blob, kemEncSize), Random: make(blob, 32), Carrier: "vp8"}), false)
	f.Fuzz(func(t *testing.T, body []byte, refusing bool) {
		if len(body) > envelope.MaxBody {
			return
		}
		kind := envelope.TypeAnswer
		if refusing {
			kind = envelope.TypeRefuse
		}
		wire, err := sealReply(cfg, kind, body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := h.open(wire, time.Now())
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			if !refusing || !printable(refusal.Error()) {
				t.Errorf("a person is shown %q", refusal.Error())
			}
		case err != nil:
			if !errors.Is(err, ErrMalformed) || errors.As(err, new(errForeign)) {
				t.Errorf("the camera's own fault is %v", err)
			}
		case refusing || len(a.Enc) != kemEncSize || len(a.Random) != 32 || a.SDP == "" || len(a.SDP) > maxSDP:
			t.Errorf("an answer, while refusing: %t, %+v", refusing, a)
		}
	})
}

// printable says whether a text is as short as it may be, and cannot play with a terminal.
func printable(s string) bool {
	return utf8.RuneCountInString(s) <= maxPrintable && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0
}

// FuzzPrintable: whatever the other end says, what is shown cannot play with a terminal.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"front door", "\x1b[2J", "\u202egnp.exe", "a\r\nb", "\xff\xfe", strings.Repeat("é", 400), "\u200b\ufeff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := Printable(s)
		if !printable(shown) {
			t.Errorf("%q is shown as %q", s, shown)
		}
		if printable(s) && shown != s || Printable(shown) != shown {
			t.Errorf("%q is shown as %q, and that as %q", s, shown, Printable(shown))
		}
	})
}

// FuzzChunks has a camera seal the chunks of a still by a program of its own, of which some arrive. Each item of the script is: a byte
// that says whether it arrives (even) and whether twice (multiple of 4), the count that it claims, how many bytes it has.
func FuzzChunks(f *testing.F) {
	f.Add([]byte{0, 1, 10})
	f.Add([]byte{0, 2, 10, 0, 2, 5})
	f.Add([]byte{1, 3, 10, 2, 3, 1, 4, 3, 9})
	f.Add([]byte{0, 0, 1, 0, 29, 1, 0, 2, 0, 0, 2, 1, 0, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := fuzzSecret()
		sender, err := sframe.NewSender(s.cameraBaseKey(stillTrack), kid(identity.Camera, stillTrack))
		if err != nil {
			t.Fatal(err)
		}
		a, err := newAssembly(s)
		if err != nil {
			t.Fatal(err)
		}
		pieces, count, done := make(map[int][]byte), 0, false
		for place := 0; len(script) > 2 && place < 64; place, script = place+1, script[3:] {
			body := bytes.Repeat([]byte{byte(place)}, int(script[2]))
			sealed, err := sender.Seal([]byte{chunkType}, s.binding(stillTrack), append([]byte{0, script[1]}, body...))
			if err != nil {
				t.Fatal(err)
			}
			if script[0]%2 == 1 {
				continue
			}
			if count == 0 && len(body) > 0 && script[1] > 0 && int(script[1]) <= maxChunks {
				count = int(script[1]) // the first that can be one says how many there are
			}
			fits := len(body) > 0 && count > 0 && int(script[1]) == count && place < count
			whole, err := a.add(sealed)
			if (err == nil) != fits {
				t.Fatalf("chunk %d of %d, the still has %d: taken %t (%v)", place, script[1], count, err == nil, err)
			}
			if fits {
				pieces[place] = body
			}
			if complete := fits && len(pieces) == count; complete != (whole != nil) || whole != nil && done {
				t.Fatalf("%d of %d chunks are whole: %t", len(pieces), count, whole != nil)
			}
			if whole != nil {
				done = true
				for n := range count {
					if whole = bytes.TrimPrefix(whole, pieces[n]); n == count-1 && len(whole) > 0 {
						t.Fatalf("%d bytes too many", len(whole))
					}
				}
			}
			if _, err := a.add(sealed); err == nil {
				t.Fatal("a chunk is taken twice")
			}
		}
		if len(a.pieces) > maxChunks {
			t.Errorf("%d pieces", len(a.pieces))
		}
	})
}

// FuzzFutile: of all that a TURN client writes, only a permission for an address that the relay refuses is held back; nothing is changed.
func FuzzFutile(f *testing.F) {
	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	for _, peer := range []string{"198.18.0.1", "192.0.2.1", "2001:db8::1", "::ffff:198.18.0.1"} {
		f.Add(stun.MustBuild(permission, peerAddress(peer)).Raw)
		f.Add(stun.MustBuild(permission, peerAddress("198.18.0.1"), peerAddress(peer)).Raw)
	}
	f.Add(stun.MustBuild(stun.BindingRequest).Raw)
	f.Add(stun.MustBuild(permission, &stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: []byte{0}}).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if got := futile(b); got && !outside(before) {
			t.Error("held back, and it asks for no address outside the relay")
		}
		if !bytes.Equal(b, before) {
			t.Error("what is written was changed")
		}
	})
}

// outside says whether b may be a CreatePermission with an XOR-PEER-ADDRESS that is not a relayed one, by the bytes of RFC 8489.
func outside(b []byte) bool {
	if len(b) < 20 || b[0] != 0 || b[1] != 0x08 {
		return false
	}
	for a := b[20:]; len(a) >= 4; {
		kind, size := binary.BigEndian.Uint16(a), int(binary.BigEndian.Uint16(a[2:]))
		if size > len(a)-4 {
			return false
		}
		value := bytes.Clone(a[4 : 4+size])
		if kind == 0x0012 && size != 8 && size != 20 {
			return true // of no address
		}
		if kind == 0x0012 {
			for i := range value[4:] {
				value[4+i] ^= b[4+i%16]
			}
			ip, ok := netip.AddrFromSlice(value[4:])
			if !ok || ip.Is4() != (value[1] == 1) || !relayedAddresses.Contains(ip.Unmap()) {
				return true
			}
		}
		a = a[min(len(a), 4+(size+3)&^3):]
	}
	return false
}

// offeredSDP is a viewer's offer, as pion makes it.
const offeredSDP = "v=0\r\no=- 5409216797581331605 1795479604 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=msid-semantic:WMS *\r\n" +
	"a=fingerprint:sha-256 5E:BC:0B:B3:57:7E:5F:0B:BA:A1:28:32:20:4D:B1:45:E5:92:62:A0:FD:76:60:34:9A:2D:15:0D:A0:B3:E7:BA\r\n" +
	"a=extmap-allow-mixed\r\na=group:BUNDLE 0 1\r\na=ice-options:renomination\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=ice-ufrag:uFrg\r\na=ice-pwd:AunwLgNlzkJAwGWhhGElMEEsAHiGxPUx\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=recvonly\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
	"c=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:1\r\na=sendrecv\r\na=sctp-port:5000\r\na=ice-ufrag:uFrg\r\na=ice-pwd:AunwLgNlzkJAwGWhhGElMEEsAHiGxPUx\r\n"

// FuzzOfferSDP: whatever session description a paired viewer offers, the camera takes it or refuses it, and lives.
func FuzzOfferSDP(f *testing.F) {
	f.Add("", "", offeredSDP)
	f.Add("a=setup:actpass", "a=setup:passive", "")
	f.Add("m=video 9 UDP/TLS/RTP/SAVPF 96", "m=video 0 UDP/TLS/RTP/SAVPF 96", "")
	f.Add("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 ", "")
	f.Add("a=mid:0\r\n", "a=mid:1\r\n", "")
	f.Add("a=ice-ufrag:uFrg\r\n", "", "")
	f.Fuzz(func(t *testing.T, old, changed, sdp string) {
		if sdp == "" {
			sdp = strings.Replace(offeredSDP, old, changed, 1)
		}
		p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		_ = p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp})
		if err := p.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzICEServers: whatever ICE servers a relay grants, the session has a peer connection or says why not.
func FuzzICEServers(f *testing.F) {
	f.Add("turn:192.0.2.1:7881?transport=udp", "stun:192.0.2.1:7882", "u", "p")
	f.Add("turns:[::1]:443?transport=tcp", "turn:", "", "")
	f.Add("http://x", "stun:a?transport=udp", "\x00", "p")
	f.Add("turn:[::1]x", "turns:[::1]rt=t?transport=tcp", "u", "p") // for which pion/stun v4.0.1 looks for ever
	f.Fuzz(func(t *testing.T, a, b, username, credential string) {
		p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, turn: &TURN{URLs: []string{a, b}, Username: username, Credential: credential}, log: quiet()})
		if err != nil {
			return
		}
		if err := p.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
}
