package turn

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v3"
)

// What doc/turn.md says is answered to an Allocate, where no other test says it.
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
		{"an unknown attribute that may be ignored", []stun.Setter{wantUDP, attribute(0xfff0, 1, 2, 3, 4)}, 0, []byte{0, 0, 2, 88}},
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

// An Allocate that comes twice, since its answer was lost, is answered alike.
func TestAllocateAgain(t *testing.T) {
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

// Methods that are not offered, RFC 6062's among them, are answered by nothing.
func TestOtherMethods(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s, "udp", grant(t, s.config.Keys).Camera)
	if code := c.allocate(); code != 0 {
		t.Fatal(code)
	}
	for _, method := range []stun.Method{stun.MethodConnect, stun.MethodConnectionBind, stun.MethodConnectionAttempt, 0x0ff} {
		m, err := stun.Build(stun.TransactionID, stun.NewType(method, stun.ClassRequest), peerAt(c.relayed),
			stun.NewUsername(c.cred.Username), stun.NewRealm(c.realm), c.nonce, stun.NewLongTermIntegrity(c.cred.Username, c.realm, c.cred.Password))
		if err != nil {
			t.Fatal(err)
		}
		c.write(m.Raw)
		c.write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
		a := &stun.Message{Raw: c.next()}
		if err := a.Decode(); err != nil || a.Type != stun.BindingSuccess {
			t.Errorf("%v is answered: %v, %v", method, a, err)
		}
	}
}

// FINGERPRINT is taken, and stands in the answer to a Binding request, whatever the family.
func TestBinding(t *testing.T) {
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
