package pairing

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// TestMessageIsValidForItsCodeOnly: no message for one code is valid for another, even of the same displayer.
func TestMessageIsValidForItsCodeOnly(t *testing.T) {
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

// TestImpostorCannotDisplayAKnownCode: knowing the code is not enough to display it without the keys behind its
// fingerprint.
func TestImpostorCannotDisplayAKnownCode(t *testing.T) {
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

// TestScannerNeedsItsSigningKey: opening M2 is not enough to finish without the signing key of the scanner's bundle.
func TestScannerNeedsItsSigningKey(t *testing.T) {
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

// TestEndsWithDifferentViewsDoNotPair: a scanner that sees another role or relay than the displayer's does not pair.
func TestEndsWithDifferentViewsDoNotPair(t *testing.T) {
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

// TestEveryProofIsNeeded leaves out each proof of M2 and M3 in turn: all of them are needed.
func TestEveryProofIsNeeded(t *testing.T) {
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

		if _, err := e.scanner.Handle(append([]byte{typeM2}, sealed...)); !errors.Is(err, ErrInvalid) ||
			e.scanner.Pair() != nil {
			t.Errorf("M2 with %s: %v", name, err)
		}
	}

	e := begin(t, identity.Camera)
	e.say(e.answer(e.say(e.displayer.Hello())))
	x := &e.scanner.exchange
	plain := append(random(macSize), e.scanner.self.Sign(label.PairingM3Signature, x.t2[:])...)
	e.refused(append([]byte{typeM3}, sealOnce(label.KDF(nil, x.root, label.PairingM3, nil, 44), plain, nil)...),
		ErrInvalid)
}

// TestProofOfAWrongSizeIsRefused: the scanner that the code is bound to may run a modified program.
func TestProofOfAWrongSizeIsRefused(t *testing.T) {
	e := begin(t, identity.Camera)
	m3 := e.say(e.answer(e.say(e.displayer.Hello())))
	material := label.KDF(nil, e.scanner.exchange.root, label.PairingM3, nil, 44)
	for _, size := range []int{0, macSize - 1, macSize, macSize + sigSize - 1, macSize + sigSize + 1} {
		e.refused(append([]byte{typeM3}, sealOnce(material, make([]byte, size), nil)...), ErrInvalid)
	}

	if e.displayer.Handle(m3).Pair == nil {
		t.Error("the genuine M3 is no longer accepted")
	}
}

// TestMessageOfAWrongSizeIsRefused: whoever holds the code can seal what opens, but is too short or too long.
func TestMessageOfAWrongSizeIsRefused(t *testing.T) {
	e := begin(t, identity.Camera)
	reseal := func(to *identity.Private, info, message []byte, change func([]byte) []byte) []byte {
		t.Helper()
		plaintext, err := hpke.Open(to.KEM(), hpke.HKDFSHA256(), hpke.AES256GCM(), info, message[1:])
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := hpkeSeal(to.Bundle(), info, change(plaintext))
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{message[0]}, sealed...)
	}

	changes := map[string]func([]byte) []byte{
		"nothing":     func([]byte) []byte { return nil },
		"a byte less": func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more": func(b []byte) []byte { return append(b, 0) },
		"half of it":  func(b []byte) []byte { return b[:len(b)/2] },
	}
	m1 := e.say(e.displayer.Hello())
	for name, change := range changes {
		spoiled := reseal(e.displayer.self, e.displayer.exchange.m1Info(), m1, change)
		if o := e.displayer.Handle(spoiled); !errors.Is(o.Refuse, ErrInvalid) || o.Pair != nil {
			t.Errorf("an M1 with %s: %v", name, o.Refuse)
		}
	}
	m2 := e.answer(m1)
	for name, change := range changes {
		spoiled := reseal(e.scanner.self, e.scanner.exchange.m2Info(), m2, change)
		if _, err := e.scanner.Handle(spoiled); !errors.Is(err, ErrInvalid) {
			t.Errorf("an M2 with %s: %v", name, err)
		}
	}

	if e.displayer.Handle(e.say(m2)).Pair == nil {
		t.Error("the ends do not pair afterwards")
	}
}

// TestRefusalHasOneReason: anybody with the code can seal a refusal, of any size.
func TestRefusalHasOneReason(t *testing.T) {
	e := begin(t, identity.Camera)
	aead := label.NewAEAD(e.displayer.Code().key(label.PairingRefusal, 32))
	refusal := func(reasons ...byte) []byte {
		nonce := random(12)
		return append([]byte{typeRefusal}, aead.Seal(nonce, nonce, reasons, []byte{typeRefusal})...)
	}
	whole := refusal(1)
	for _, tt := range []struct {
		name    string
		message []byte
		want    error
	}{
		{"used", whole, ErrUsed},
		{"bound", refusal(2), ErrBound},
		{"closed", refusal(3), ErrClosed},
		{"invalid", refusal(4), ErrInvalid},
		{"one that is not known", refusal(77), ErrInvalid},
		{"none", refusal(), ErrStrange},
		{"two", refusal(1, 1), ErrStrange},
		{"of no bytes", whole[:1], ErrStrange},
		{"cut within its nonce", whole[:12], ErrStrange},
		{"cut at its end", whole[:len(whole)-1], ErrStrange},
	} {
		if reply, err := e.scanner.Handle(tt.message); reply != nil || err != tt.want {
			t.Errorf("a refusal for reason %s: %v, want %v", tt.name, err, tt.want)
		}
	}

	m1 := e.say(e.displayer.Hello())
	said := e.refused(append(m1[:len(m1)-1:len(m1)-1], m1[len(m1)-1]^1), ErrInvalid)
	if reason, err := aead.Open(nil, said[1:13], said[13:], said[:1]); err != nil || !bytes.Equal(reason, []byte{4}) {
		t.Errorf("an M1 that does not verify is refused for reason %d, %v, want 4", reason, err)
	}
}

// TestSecondAnswerChangesNoPair: a displayer that changes its answer later does not change the pair.
func TestSecondAnswerChangesNoPair(t *testing.T) {
	e := begin(t, identity.Camera)
	m1 := e.say(e.displayer.Hello())
	first := e.displayer.reply(e.scanner.self.Bundle(), m1[1:], e.scanner.nonceS).Reply
	second := e.displayer.reply(e.scanner.self.Bundle(), m1[1:], e.scanner.nonceS).Reply
	m3, pair := e.say(first), *e.scanner.Pair()
	if again := e.say(second); !bytes.Equal(again, m3) || !e.scanner.Pair().Secret.Equal(pair.Secret) {
		t.Error("a second M2 made another pair")
	}
}

// TestDeviceDoesNotPairWithItself: a device does not pair with itself, whichever end looks.
func TestDeviceDoesNotPairWithItself(t *testing.T) {
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

// TestWipedSecretPairsNobody: once S is wiped to zeros, an M1 made under zeros must be refused.
func TestWipedSecretPairsNobody(t *testing.T) {
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

// lowOrder returns b with the 32 bytes before end replaced by an X25519 point whose every shared secret is zero.
func lowOrder(b []byte, end int) []byte {
	b = bytes.Clone(b)
	clear(b[end-32 : end])
	return b
}

// TestPointOfLowOrderIsRefused: anybody can send such a point, and nothing is sealed or opened with it.
func TestPointOfLowOrderIsRefused(t *testing.T) {
	e := begin(t, identity.Camera)
	hello := e.displayer.Hello()
	m1 := e.say(hello)
	if _, err := e.scanner.Handle(e.refused(lowOrder(m1, 1+encSize), ErrInvalid)); !errors.Is(err, ErrInvalid) {
		t.Errorf("an M1: %v", err)
	}

	code := e.displayer.Code()
	scanner, err := identity.ParseBundle(lowOrder(e.scanner.self.Bundle().Bytes(), identity.BundleSize))
	if err != nil {
		t.Fatal(err)
	}
	nonce, x := random(nonceSize), newExchange(code, e.displayer.self.Bundle())
	plain := bytes.Join([][]byte{scanner.Bytes(), nonce, x.m1MAC(scanner.Bytes(), nonce)}, nil)
	sealed, err := hpkeSeal(e.displayer.self.Bundle(), x.m1Info(), plain)
	if err != nil {
		t.Fatal(err)
	}

	if o := e.displayer.Handle(append([]byte{typeM1}, sealed...)); o.Refuse == nil || o.Pair != nil ||
		e.displayer.boundM1 != nil {
		t.Errorf("the M1 of a scanner with such a key: %+v", o)
	}

	displayer, err := identity.ParseBundle(lowOrder(e.displayer.self.Bundle().Bytes(), identity.BundleSize))
	if err != nil {
		t.Fatal(err)
	}
	code.Fingerprint = displayer.Fingerprint()
	bundle := sealOnce(code.key(label.PairingBundle, 44), displayer.Bytes(), []byte{typeBundle})
	if reply, err := NewScanner(generate(t), code).Handle(append([]byte{typeBundle}, bundle...)); reply != nil ||
		err == nil {
		t.Errorf("a displayer with such a key: %x, %v", reply, err)
	}

	m2 := e.answer(m1)
	if reply, err := e.scanner.Handle(lowOrder(m2, 1+encSize)); reply != nil || !errors.Is(err, ErrInvalid) ||
		e.scanner.Pair() != nil {
		t.Errorf("an M2: %x, %v", reply, err)
	}

	if e.displayer.Handle(e.say(m2)).Pair == nil {
		t.Error("the genuine ends do not pair afterwards")
	}
}
