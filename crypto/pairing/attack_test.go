package pairing

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// TestOtherCode: nothing of one code is good for another, not even of the same displayer.
func TestOtherCode(t *testing.T) {
	self := generate(t)
	var one, two ends
	for _, e := range []*ends{&one, &two} {
		d, err := NewDisplayer(self, identity.Camera, relay, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		*e = ends{t, d, scan(t, d)}
	}
	if _, err := one.scanner.Handle(two.displayer.Hello()); !errors.Is(err, ErrInvalid) {
		t.Errorf("bundle: %v", err)
	}
	m1, other := one.say(one.displayer.Hello()), two.say(two.displayer.Hello())
	if _, err := two.scanner.Handle(two.refused(m1, ErrInvalid)); !errors.Is(err, ErrInvalid) {
		t.Errorf("refusal: %v", err)
	}
	m2 := one.answer(m1)
	if _, err := two.scanner.Handle(m2); !errors.Is(err, ErrInvalid) {
		t.Errorf("M2: %v", err)
	}
	two.answer(other)
	two.refused(one.say(m2), ErrInvalid)
	if _, err := one.scanner.Handle(two.displayer.Used()); !errors.Is(err, ErrInvalid) && err != nil {
		t.Errorf("another code's refusal: %v", err)
	}
}

// TestImpostor: who knows the code but is not the device of its fingerprint cannot display it.
func TestImpostor(t *testing.T) {
	e := begin(t, identity.Camera)
	impostor := newDisplayer(generate(t), e.displayer.Code(), time.Now().Add(time.Minute))
	if _, err := e.scanner.Handle(impostor.Hello()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bundle of another fingerprint: %v", err)
	}
	m1 := e.say(e.displayer.Hello())
	if o := impostor.Handle(m1); o.Refuse == nil {
		t.Error("an impostor read M1")
	}
	// Even with the displayer's own transcript, and a KEM key of the scanner's, an M2 needs the displayer's signature.
	impostor.exchange = newExchange(e.displayer.Code(), e.displayer.self.Bundle())
	o := impostor.reply(e.scanner.self.Bundle(), m1[1:], e.scanner.nonceS)
	if _, err := e.scanner.Handle(o.Reply); !errors.Is(err, ErrInvalid) || e.scanner.Pair() != nil {
		t.Errorf("an M2 signed by another: %v", err)
	}
}

// TestUnproven: who opens M2 but does not hold the signing key of the scanner's bundle cannot finish.
func TestUnproven(t *testing.T) {
	e := begin(t, identity.Camera)
	kem := [32]byte{2}
	self, err1 := identity.FromSeeds([32]byte{1}, kem)
	thief, err2 := identity.FromSeeds([32]byte{3}, kem)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	e.scanner = NewScanner(self, e.displayer.Code())
	m2 := e.answer(e.say(e.displayer.Hello()))
	e.scanner.self = thief
	e.refused(e.say(m2), ErrInvalid)
}

// TestOtherView: a scanner that was told another role or relay than the displayer's does not pair.
func TestOtherView(t *testing.T) {
	for name, change := range map[string]func(c *Code){
		"role":  func(c *Code) { c.Role = identity.Viewer },
		"relay": func(c *Code) { c.RelayURL = "https://relax.example" },
		"S":     func(c *Code) { c.secret[0] ^= 1 },
	} {
		e := begin(t, identity.Camera)
		code := e.displayer.Code()
		change(&code)
		e.scanner = NewScanner(generate(t), code)
		e.refused(e.say(newDisplayer(e.displayer.self, code, time.Now()).Hello()), ErrInvalid)
		if e.displayer.boundM1 != nil {
			t.Errorf("another %s bound the code", name)
		}
	}
}

// TestProofs leaves out one proof after the other of M2 and M3: each is needed beside the others.
func TestProofs(t *testing.T) {
	for name, change := range map[string]func(nonceS, mac []byte){
		"another nonce": func(nonceS, _ []byte) { nonceS[0] ^= 1 },
		"another MAC":   func(_, mac []byte) { mac[0] ^= 1 },
	} {
		e := begin(t, identity.Camera)
		m1 := e.say(e.displayer.Hello())
		x := &e.displayer.exchange
		x.sentM1(e.scanner.self.Bundle().Bytes(), m1[1:])
		body := append(bytes.Clone(e.scanner.nonceS), random(2*nonceSize)...)
		mac := x.m2MAC(append(x.t1[:], body...))
		change(body[:nonceSize], mac)
		if name == "another nonce" {
			mac = x.m2MAC(append(x.t1[:], body...))
		}
		signed := append(append(x.t1[:], body...), mac...)
		body = append(append(body, mac...), e.displayer.self.Sign(label.PairingM2Signature, signed)...)
		sealed, err := hpkeSeal(e.scanner.self.Bundle(), x.m2Info(), body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.scanner.Handle(append([]byte{typeM2}, sealed...)); !errors.Is(err, ErrInvalid) || e.scanner.Pair() != nil {
			t.Errorf("M2 with %s: %v", name, err)
		}
	}
	e := begin(t, identity.Camera)
	e.say(e.answer(e.say(e.displayer.Hello())))
	x := &e.scanner.exchange
	plain := append(random(macSize), e.scanner.self.Sign(label.PairingM3Signature, x.t2[:])...)
	e.refused(append([]byte{typeM3}, sealOnce(label.KDF(nil, x.root, label.PairingM3, nil, 44), plain, nil)...), ErrInvalid)
}

// TestItself: a device does not pair with itself, whichever end looks.
func TestItself(t *testing.T) {
	e := begin(t, identity.Camera)
	self := e.displayer.self
	if _, err := NewScanner(self, e.displayer.Code()).Handle(e.displayer.Hello()); !errors.Is(err, ErrInvalid) {
		t.Errorf("scanner: %v", err)
	}
	x, own, nonce := &e.displayer.exchange, self.Bundle().Bytes(), random(nonceSize)
	sealed, err := hpkeSeal(self.Bundle(), x.m1Info(), bytes.Join([][]byte{own, nonce, x.m1MAC(own, nonce)}, nil))
	if err != nil {
		t.Fatal(err)
	}
	e.refused(append([]byte{typeM1}, sealed...), ErrInvalid)
}

// TestForgotten: with S wiped to zeros, an M1 made under zeros must not be taken.
func TestForgotten(t *testing.T) {
	e := begin(t, identity.Camera)
	code := e.displayer.Code()
	e.displayer.Forget()
	clear(code.secret[:])
	zeros := ends{t, e.displayer, NewScanner(generate(t), code)}
	m1 := zeros.say(newDisplayer(e.displayer.self, code, time.Now()).Hello())
	if o := e.displayer.Handle(m1); o.Reply != nil || o.Pair != nil {
		t.Error("a forgotten code was answered")
	}
	zeros.scanner.Forget()
	if _, err := zeros.scanner.Handle(e.displayer.Hello()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a forgotten scanner: %v", err)
	}
}
