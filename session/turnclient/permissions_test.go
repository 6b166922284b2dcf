package turnclient

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

var permissionRequest = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)

var relayOfTest = credentials{username: "user", password: "password"}

// signed returns a TURN client's message, signed with relayOfTest's credentials.
func signed(t *testing.T, kind stun.MessageType, peers ...string) []byte {
	t.Helper()
	setters := []stun.Setter{stun.TransactionID, kind}
	for _, p := range peers {
		setters = append(setters, peerAddress(p))
	}

	m, err := stun.Build(append(setters, stun.NewUsername("user"), stun.NewRealm("realm"), stun.NewNonce("nonce"),
		stun.NewLongTermIntegrity("user", "realm", "password"), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// decoded decodes a message, and reports whether relayOfTest's credentials sign it.
func decoded(t *testing.T, b []byte) (m stun.Message, ok bool) {
	t.Helper()
	if err := stun.Decode(b, &m); err != nil {
		t.Fatal(err)
	}
	return m, stun.NewLongTermIntegrity("user", "realm", "password").Check(&m) == nil
}

func answerTo(t *testing.T, request []byte, class stun.MessageClass, more ...stun.Setter) []byte {
	t.Helper()
	m, _ := decoded(t, request)
	a, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(m.TransactionID),
		stun.NewType(m.Type.Method, class)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return a.Raw
}

// pion does not wait until the relay grants a permission, because a dead relay would hold up the whole session.
func TestPermissionIsGrantedAtOnce(t *testing.T) {
	network, err := newAgentNet(relayOfTest, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := net.ListenPacket("udp4", "127.0.0.1:0") // a silent relay
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()

	client, err := network.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	got := make(chan []byte)
	go func() {
		defer close(got)
		b := make([]byte, 1500)
		for {
			n, from, err := client.ReadFrom(b)
			if err != nil {
				return
			}
			if from.String() != relay.LocalAddr().String() {
				t.Errorf("from %v", from)
			}
			got <- bytes.Clone(b[:n])
		}
	}()

	for _, peer := range []string{"198.18.0.1", "198.18.0.2"} {
		request := signed(t, permissionRequest, peer)
		if _, err := client.WriteTo(request, relay.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		m, ok := decoded(t, <-got)
		if asked, _ := decoded(t, request); !ok || m.TransactionID != asked.TransactionID ||
			m.Type != stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse) {
			t.Errorf("%s: pion gets %v, signed %v", peer, m.Type, ok)
		}

		b := make([]byte, 1500)
		n, _, err := relay.ReadFrom(b)
		if err != nil || !bytes.Equal(b[:n], request) {
			t.Errorf("%s: the relay does not get the request, %v", peer, err)
		}

		for _, said := range [][]byte{answerTo(t, request, stun.ClassSuccessResponse), []byte("what is no answer")} {
			if _, err := relay.WriteTo(said, client.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}

		if said := <-got; string(said) != "what is no answer" {
			t.Errorf("%s: then pion gets %q", peer, said)
		}
	}

	client.Close()
	if _, still := <-got; still {
		t.Error("a read from a closed socket succeeds")
	}
}

// An unanswered request is sent again together with later packets, but not for ever.
func TestPermissionIsAskedForAgain(t *testing.T) {
	p, now := newPermissions(relayOfTest), time.Now()
	request, other := signed(t, permissionRequest, "198.18.0.1"), []byte{0x40, 0, 0, 0}
	if out, granted, again := p.write(request, nil, now); !granted || len(again) != 0 || !bytes.Equal(out, request) {
		t.Fatalf("%v, %v", granted, again)
	}
	if _, _, again := p.write(other, nil, now.Add(permissionAgain/2)); len(again) != 0 {
		t.Error("sent again too early")
	}

	times := 1
	for range 2 * maxRequests {
		now = now.Add(permissionAgain)
		out, _, again := p.write(other, nil, now)
		if times += len(again); !bytes.Equal(out, other) || len(again) > 0 && !bytes.Equal(again[0], request) {
			t.Fatal("something other than the request was sent")
		}
	}

	if times != maxRequests {
		t.Errorf("asked %d times, want %d", times, maxRequests)
	}
	p = newPermissions(relayOfTest)
	p.write(request, nil, now)
	for range 2 { // the answer, and the answer to a repetition
		if !p.hear(answerTo(t, request, stun.ClassSuccessResponse)) {
			t.Error("the relay's answer reaches pion, although it already has one")
		}
	}

	if _, _, again := p.write(other, nil, now.Add(time.Second)); len(again) != 0 {
		t.Error("a request that was answered is sent again")
	}
}

// If the relay has refused a permission, because the address belongs to another relay, it is not requested again.
// Others are still renewed.
func TestRefusedPermissionIsNotAskedForAgain(t *testing.T) {
	p, now := newPermissions(relayOfTest), time.Now()
	good, bad := signed(t, permissionRequest, "198.18.0.1"), signed(t, permissionRequest, "198.18.0.2")
	p.write(good, nil, now)
	p.write(bad, nil, now)
	p.hear(answerTo(t, good, stun.ClassSuccessResponse))
	if !p.hear(answerTo(t, bad, stun.ClassErrorResponse, stun.CodeForbidden)) {
		t.Fatal("the relay's refusal was not consumed")
	}

	for _, tt := range []struct {
		name string
		out  []byte
		sent bool
	}{
		{"a permission that is refused", signed(t, permissionRequest, "198.18.0.2"), false},
		{"a packet", signed(t, stun.NewType(stun.MethodSend, stun.ClassIndication), "198.18.0.2"), false},
		{"a channel", signed(t, stun.NewType(stun.MethodChannelBind, stun.ClassRequest), "198.18.0.2"), false},
		{"a permission", signed(t, permissionRequest, "198.18.0.1"), true},
		{"a packet to the other", signed(t, stun.NewType(stun.MethodSend, stun.ClassIndication), "198.18.0.1"), true},
	} {
		if out, granted, _ := p.write(tt.out, nil, now); bytes.Equal(out, tt.out) != tt.sent || granted {
			t.Errorf("%s: sent %v, want %v; granted %v", tt.name, out != nil, tt.sent, granted)
		}
	}

	both := signed(t, permissionRequest, "198.18.0.1", "198.18.0.2")
	out, _, _ := p.write(both, nil, now)
	m, ok := decoded(t, out)
	if asked, _ := decoded(t, both); !ok || m.TransactionID != asked.TransactionID {
		t.Error("what is left of a renewal is not signed, or belongs to another transaction")
	}

	if _, peers := peersOf(out); len(peers) != 1 || peers[0].String() != "198.18.0.1" {
		t.Errorf("renews %v", peers)
	}
	if stun.Fingerprint.Check(&m) != nil {
		t.Error("wrong fingerprint")
	}
}
