package turn

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

// TestAllocateAnswers checks the answers to Allocate that doc/turn.md describes and no other test checks.
func TestAllocateAnswers(t *testing.T) {
	s := serve(t, Config{})
	lifetime := func(seconds ...byte) stun.Setter { return attribute(stun.AttrLifetime, seconds...) }
	for _, tt := range []struct {
		name     string
		setters  []stun.Setter
		code     int
		lifetime []byte
	}{
		{"as clients do", []stun.Setter{wantUDP}, 0, []byte{0, 0, 2, 88}},
		{"no transport", nil, 400, nil},
		{"an unknown transport", []stun.Setter{attribute(stun.AttrRequestedTransport, 132, 0, 0, 0)}, 442, nil},
		{"a shorter lifetime", []stun.Setter{wantUDP, lifetime(0, 0, 0, 60)}, 0, []byte{0, 0, 0, 60}},
		{"a longer lifetime", []stun.Setter{wantUDP, lifetime(0, 0, 7, 8)}, 0, []byte{0, 0, 7, 8}},
		{"a lifetime of two hours", []stun.Setter{wantUDP, lifetime(0, 0, 0x1c, 0x20)}, 0, []byte{0, 0, 2, 88}},
		{"another family too", []stun.Setter{wantUDP, attribute(0x8000, 2, 0, 0, 0)}, 0, []byte{0, 0, 2, 88}},
		{"an unknown attribute that may be ignored", []stun.Setter{wantUDP, attribute(0xfff0, 1, 2, 3, 4)}, 0,
			[]byte{0, 0, 2, 88}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, s, "udp", grant(t, s.config.Keys).Camera)
			m, code := c.ask(stun.MethodAllocate, tt.setters...)
			got, _ := m.Get(stun.AttrLifetime)
			if code != tt.code || !bytes.Equal(got, tt.lifetime) {
				t.Errorf("%d for %v s, want %d for %v", code, got, tt.code, tt.lifetime)
			}
		})
	}
}

// TestRepeatedAllocateIsAnsweredAlike: an Allocate that comes twice, because its answer was lost, gets the same answer.
func TestRepeatedAllocateIsAnsweredAlike(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s, "udp", grant(t, s.config.Keys).Camera)
	id := stun.NewTransactionIDSetter([stun.TransactionIDSize]byte{1, 2, 3})
	first, code := c.ask(stun.MethodAllocate, wantUDP, id)
	if code != 0 {
		t.Fatal(code)
	}

	again, code := c.ask(stun.MethodAllocate, wantUDP, id)
	if code != 0 || !bytes.Equal(first.Raw, again.Raw) {
		t.Errorf("%d, %v, want %v", code, again, first)
	}
	if n := s.Stats().Allocations; n != 1 {
		t.Errorf("%d allocations", n)
	}
}

// TestOtherMethodsAreNotAnswered: methods that we do not offer, RFC 6062's among them, get no answer.
func TestOtherMethodsAreNotAnswered(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s, "udp", grant(t, s.config.Keys).Camera)
	if code := c.allocate(); code != 0 {
		t.Fatal(code)
	}

	for _, method := range []stun.Method{
		stun.MethodConnect,
		stun.MethodConnectionBind,
		stun.MethodConnectionAttempt,
		0x0ff,
	} {
		c.writeRequest(method, peerAt(c.relayed))
		c.write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
		a := &stun.Message{Raw: c.next()}
		if err := a.Decode(); err != nil || a.Type != stun.BindingSuccess {
			t.Errorf("%v was answered: %v, %v", method, a, err)
		}
	}
}

// TestBindingAnswerHasTheMappedAddress: so it does in both families, with a FINGERPRINT like the request's.
func TestBindingAnswerHasTheMappedAddress(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := serve(t, Config{Address: address})
		c := dial(t, s, "udp", Credential{})
		m := c.do(stun.BindingRequest, stun.Fingerprint)
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(m); err != nil || mapped.String() != c.conn.LocalAddr().String() {
			t.Errorf("mapped address %v, %v, want %v", mapped, err, c.conn.LocalAddr())
		}

		if err := stun.Fingerprint.Check(m); err != nil {
			t.Error(err)
		}
	}
}

// ofAllocations are the methods that need an allocation.
var ofAllocations = []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind}

// TestRequestsNeedAnAllocation: without an allocation, every request for one is refused, first for want of credentials.
func TestRequestsNeedAnAllocation(t *testing.T) {
	s := serve(t, Config{})
	for _, over := range []string{"udp", "tcp"} {
		for _, method := range ofAllocations {
			cam, view := pair(t, s, over, "udp")
			late := dial(t, s, over, cam.cred)
			ask := []stun.Setter{attribute(stun.AttrChannelNumber, 0x40, 0, 0, 0), peerAt(view.relayed)}
			m := late.do(append([]stun.Setter{stun.NewType(method, stun.ClassRequest)}, ask...)...)
			var realm stun.Realm
			if code := late.code(m); code != 401 || late.nonce.GetFrom(m) != nil || realm.GetFrom(m) != nil {
				t.Errorf("%v over %s without credentials: %d, %v", method, over, code, m)
			}

			if _, code := late.ask(method, ask...); code != 437 {
				t.Errorf("%v over %s without an allocation: %d", method, over, code)
			}
			if code := late.allocate(); code != 0 {
				t.Fatal(code)
			}

			if _, code := late.ask(method, ask...); code != 0 {
				t.Errorf("%v over %s with an allocation: %d", method, over, code)
			}
		}
	}
}

// TestUnknownAttributesAreRefused: a client that has shown a password gets a 420 that names the attributes which we
// must understand and do not. The request has no other effect.
func TestUnknownAttributesAreRefused(t *testing.T) {
	s := serve(t, Config{})
	for _, over := range []string{"udp", "tcp"} {
		cam, view := pair(t, s, over, "udp")
		strange := []stun.Setter{attribute(0x0024, 1, 2, 3, 4), attribute(0x7ff0), attribute(0xfff0, 1)}
		ask := append([]stun.Setter{
			attribute(stun.AttrChannelNumber, 0x40, 0, 0, 0),
			peerAt(view.relayed),
			attribute(stun.AttrLifetime, 0, 0, 0, 0),
		}, strange...)
		for _, method := range ofAllocations {
			var unknown stun.UnknownAttributes
			m, code := cam.ask(method, ask...)
			err := unknown.GetFrom(m)
			if code != 420 || err != nil || !slices.Equal(unknown, stun.UnknownAttributes{0x0024, 0x7ff0}) {
				t.Errorf("%v over %s: %d, %v", method, over, code, unknown)
			}

			forger := *cam
			forger.cred.Password = "guessed"
			if _, code := forger.ask(method, ask...); code != 401 {
				t.Errorf("%v over %s with another password: %d", method, over, code)
			}
		}

		fresh := dial(t, s, over, cam.cred)
		if _, code := fresh.ask(stun.MethodAllocate, append(strange, wantUDP)...); code != 420 {
			t.Errorf("Allocate over %s: %d", over, code)
		}
		if code := fresh.refresh(60); code != 437 {
			t.Errorf("the refused Allocate made an allocation: %d", code)
		}

		if m := fresh.do(append(strange, stun.BindingRequest)...); fresh.code(m) != 0 {
			t.Errorf("Binding over %s: %v", over, m)
		}
		if code := cam.refresh(60); code != 0 {
			t.Errorf("the allocation has ended: %d", code)
		}
	}

	if n := s.Stats(); n.Refusals["attribute"] != 8 {
		t.Errorf("%+v", n.Refusals)
	}
}

// TestChannelNumbersAreThoseOfRFC5766: only these may be bound.
func TestChannelNumbersAreThoseOfRFC5766(t *testing.T) {
	s := serve(t, Config{})
	for channel, want := range map[uint16]int{
		0:      400,
		0x3fff: 400,
		0x4000: 0,
		0x4fff: 0,
		0x5000: 0,
		0x7fff: 0,
		0x8000: 400,
		0xffff: 400,
	} {
		cam, view := pair(t, s, "udp", "udp")
		if code := cam.bind(channel, peerAt(view.relayed)); code != want {
			t.Errorf("channel %#x: %d, want %d", channel, code, want)
		}
	}
}

// TestFingerprintIsAnsweredWithOne: a request with a FINGERPRINT gets an answer with one, whatever the answer is. The
// method do checks it.
func TestFingerprintIsAnsweredWithOne(t *testing.T) {
	s := serve(t, Config{})
	for _, over := range []string{"udp", "tcp"} {
		cam, view := pair(t, s, over, "udp")
		late := dial(t, s, over, cam.cred)
		m := late.do(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.Fingerprint)
		if late.code(m) != 401 || late.nonce.GetFrom(m) != nil {
			t.Errorf("without credentials: %v", m)
		}

		for _, c := range []*client{late, cam} {
			c.ends = []stun.Setter{stun.Fingerprint}
			for _, method := range append(ofAllocations, stun.MethodAllocate) {
				for _, peer := range []*client{cam, view} {
					c.ask(method, wantUDP, attribute(stun.AttrChannelNumber, 0x40, 0, 0, 0), peerAt(peer.relayed))
				}
			}
		}
	}
}
