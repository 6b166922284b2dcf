package e2e

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/test/signalingtest"
)

// iLnkP2P, 2019 (CVE-2019-11219): cameras were known by a vendor's prefix and a number of six digits, so that a
// stranger could try all of them, and the server said which existed. Here a stranger knows the exact names of existing
// cameras, and asks.
func TestIncidentGuessedIDs(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	front := startTURNFront(t, c)
	camera, away := startCamera(t, c, "front door", 0), startCamera(t, c, "away", 1)
	v, w := pair(t, camera), pair(t, away)
	away.stop()
	person := beginWatch(t, v, "front door", camera.Mark, true)
	person.sees(t, 1)
	t.Run("mailboxes", func(t *testing.T) {
		guessMailboxes(t, c.URLs()[0], mailboxesOf(t, v)[0], mailboxesOf(t, w)[0])
	})
	t.Run("TURN", func(t *testing.T) { guessTURN(t, c, front) })
	t.Run("a stranger's guesses are limited", func(t *testing.T) { guessRendezvous(t) })
	t.Run("ids look like noise", func(t *testing.T) { noise(t, c) })
	person.sees(t, 10)
	person.stop()
	person.sawOwn(t, "the owner")
}

// guessMailboxes: to a client without the keys, a mailbox that exists answers every request like one that does not.
func guessMailboxes(t *testing.T, url string, there, away envelope.Mailbox) {
	nowhere := signaling.Mailbox{Read: ed25519Key(t), Write: ed25519Key(t)}
	named := func(frame func(name signaling.Name) signaling.Frame) func(signaling.Mailbox) signaling.Frame {
		return func(mb signaling.Mailbox) signaling.Frame { return frame(mb.Name()) }
	}
	for _, tt := range []struct {
		name string
		ask  func(signaling.Mailbox) signaling.Frame
		mute bool // it has no answer
	}{
		{"open for reading", func(mb signaling.Mailbox) signaling.Frame {
			return unsigned(url, mb, signaling.Read)
		}, false},
		{"open for writing", func(mb signaling.Mailbox) signaling.Frame {
			return unsigned(url, mb, signaling.Write)
		}, false},
		{"post", named(func(n signaling.Name) signaling.Frame {
			return signaling.Post{Name: n, TTL: 60, Body: []byte("x")}
		}), false},
		{"ask for TURN", named(func(n signaling.Name) signaling.Frame {
			return signaling.GrantRequest{Name: n}
		}), false},
		{"acknowledge", named(func(n signaling.Name) signaling.Frame { return signaling.Ack{Name: n} }), true},
		{"reject", named(func(n signaling.Name) signaling.Frame { return signaling.Reject{Name: n} }), true},
		{"close", named(func(n signaling.Name) signaling.Frame { return signaling.Close{Name: n} }), true},
	} {
		stranger := signalingtest.Dial(t, url, "127.0.0.2")
		answers := make([]signaling.Frame, 0, 3)
		for _, mb := range []signaling.Mailbox{{Read: there.Read, Write: there.Write},
			{Read: away.Read, Write: away.Write}, nowhere} {
			if tt.mute && !stranger.Say(tt.ask(mb)) {
				t.Fatalf("%s: the relay has ended the connection", tt.name)
			}
			if tt.mute { // anything it said would come before the answer to this
				answers = append(answers, stranger.Ask(signaling.GrantRequest{ID: 1}))
				continue
			}
			answers = append(answers, stranger.Ask(tt.ask(mb)))
		}

		refused, ok := answers[2].(signaling.Refused)
		if !ok || !reflect.DeepEqual(answers[0], answers[2]) || !reflect.DeepEqual(answers[1], answers[2]) ||
			stranger.Delivered != 0 {
			t.Errorf("%s: a camera that is there: %+v; one that is away: %+v; none at all: %+v", tt.name, answers[0],
				answers[1], refused)
		}
	}

	// With the key, the answers do differ.
	owner := signalingtest.Dial(t, url, "127.0.0.2")
	if answer := owner.Ask(signaling.SignOpen(url, owner.Nonce, signaling.Mailbox{Read: there.Read, Write: there.Write},
		signaling.Read)); answer != (signaling.OK{}) {
		t.Errorf("with the key: %+v: the test proves nothing", answer)
	}
}

// unsigned asks for a mailbox by its public keys.
func unsigned(relayURL string, mb signaling.Mailbox, a signaling.Access) signaling.Open {
	f := signaling.SignOpen(relayURL, [32]byte{}, mb, a)
	f.Signature = unsignature
	return f
}

// unsignature is a signature by no key.
var unsignature = bytes.Repeat([]byte{1}, ed25519.SignatureSize)

// guessTURN: a session that is under way answers like one that never was.
func guessTURN(t *testing.T, c *evilcloud.Cloud, front *turnFront) {
	never := granted(t, c, time.Now().Add(time.Hour)) // a grant of this server that nobody has
	live := front.allocated()
	if len(live) < 2 {
		t.Fatalf("%d allocations: the test proves nothing", len(live))
	}
	grant := granted(t, c, time.Now())
	settled, newcomer := dialTURN(t, front.at(), "127.0.0.2"), dialTURN(t, front.at(), "127.0.0.2")

	// The stranger may use TURN, so the answers could differ.
	if m := settled.ask(stun.MethodAllocate, grant.Viewer, wantUDP); errorOf(m) != 0 {
		t.Fatalf("with a password of its own: %v: the test proves nothing", m)
	}
	for _, tt := range []struct {
		name   string
		socket *turnSocket
		method stun.Method
	}{
		{"allocate", newcomer, stun.MethodAllocate}, {"refresh", settled, stun.MethodRefresh},
		{"permission", settled, stun.MethodCreatePermission}, {"channel", settled, stun.MethodChannelBind},
	} {
		ask := func(username string) *stun.Message {
			return tt.socket.ask(tt.method, signaling.Credentials{Username: username, Credential: "guessed"}, wantUDP,
				lifetime(0),
				stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: live[0].relayed},
				stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 0, 0, 0}})
		}

		there, none := ask(live[0].name), ask(never.Viewer.Username)
		if errorOf(none) == 0 || !sameAnswer(there, none) {
			t.Errorf("%s: a session that is there: %v; none: %v", tt.name, there, none)
		}
	}

	// Even with the stranger's own password, TURN does not reveal whether somebody has a relayed address.
	peer := func(address []byte) stun.Setter {
		return stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: address}
	}
	free := bytes.Clone(live[0].relayed)
	free[6] ^= 0x40 // far from what has been handed out
	there := settled.ask(stun.MethodCreatePermission, grant.Viewer, peer(live[0].relayed))
	none := settled.ask(stun.MethodCreatePermission, grant.Viewer, peer(free))
	if errorOf(there) != stun.CodeForbidden || !sameCode(there, none) {
		t.Errorf("a relayed address that somebody has: %v; one that nobody has: %v", there, none)
	}
}

// sameAnswer compares everything in two answers except their transaction IDs and nonces.
func sameAnswer(a, b *stun.Message) bool {
	said := func(m *stun.Message) (all []stun.RawAttribute) {
		for _, attribute := range m.Attributes {
			if attribute.Type != stun.AttrNonce {
				all = append(all, attribute)
			}
		}
		return all
	}
	return a.Type == b.Type && reflect.DeepEqual(said(a), said(b))
}

// sameCode compares two answers that are signed, and therefore differ.
func sameCode(a, b *stun.Message) bool { return a.Type == b.Type && errorOf(a) == errorOf(b) }

// guessRendezvous: one address can try only so many pairing codes in ten minutes, out of 2^128.
func guessRendezvous(t *testing.T) {
	const most = 300
	const url = "https://relay.example"
	s, err := server.New(server.Config{PublicURL: url, Bus: bus.NewLocal(), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}

	run(t, s.Run)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far := &http.Server{ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			q.RemoteAddr = "203.0.113.7:4711"
			s.ServeHTTP(w, q)
		})}

	go func() { _ = far.Serve(listener) }()
	t.Cleanup(func() { far.Close() })
	stranger := signalingtest.Dial(t, "http://"+listener.Addr().String(), "127.0.0.1")
	guesses, last := 0, signaling.Frame(signaling.OK{})
	for ; last == (signaling.OK{}) && guesses <= most; guesses++ {
		box := envelope.Rendezvous(secret(t), 1)
		last = stranger.Ask(signaling.SignOpen(url, stranger.Nonce,
			signaling.Mailbox{
				Read:   box.Read,
				Write:  box.Write,
				Ticket: []byte(signaling.PairingTicket),
			}, signaling.Read))
	}

	if refused, ok := last.(signaling.Refused); !ok || refused.Code != signaling.CodeQuota || guesses > most {
		t.Errorf("guess %d: %+v; want a refusal before guess %d", guesses, last, most)
	}
}

// noise: every bit that a stranger would have to guess is 0 as often as 1, so that knowing some of them reveals nothing
// about the next.
func noise(t *testing.T, c *evilcloud.Cloud) {
	device, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	const n = 512
	var ids [3][][]byte

	for range n {
		session, err := base64.RawURLEncoding.DecodeString(strings.Split(granted(t, c, time.Now()).Viewer.Username,
			":")[1])
		if err != nil {
			t.Fatal(err)
		}
		code, err := pairing.NewCode(c.URLs()[0], identity.Camera, device.Bundle(), time.Now())
		if err != nil {
			t.Fatal(err)
		}

		toDisplayer, _ := code.Rendezvous()
		payload, err := base64.RawURLEncoding.DecodeString(code.URI()[strings.Index(code.URI(), "#")+1:])
		if err != nil {
			t.Fatal(err)
		}
		ids[0], ids[1], ids[2] = append(ids[0], session), append(ids[1], payload[34:50]),
			append(ids[2], toDisplayer.Name[:])
	}

	for i, what := range []string{"TURN sessions", "pairing secrets", "names of mailboxes"} {
		for bit := range 8 * len(ids[i][0]) {
			ones := 0
			for _, id := range ids[i] {
				ones += int(id[bit/8] >> (bit % 8) & 1)
			}

			// 8 standard deviations: by chance once in 10^15 bits
			if ones < n/2-90 || ones > n/2+90 {
				t.Errorf("%s: bit %d is 1 in %d of %d", what, bit, ones, n)
			}
		}
		if len(ids[i][0]) < 16 {
			t.Errorf("%s: %d bytes can be guessed", what, len(ids[i][0]))
		}
	}
}
