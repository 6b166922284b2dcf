package pairing

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

const relay = "https://relay.example"

func generate(t testing.TB) *identity.Private {
	t.Helper()
	p, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ends are a displayer and a scanner that has read its code.
type ends struct {
	t         *testing.T
	displayer *Displayer
	scanner   *Scanner
}

func begin(t *testing.T, role identity.Role) ends {
	t.Helper()
	d, err := NewDisplayer(generate(t), role, relay, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return ends{t, d, scan(t, d)}
}

func scan(t *testing.T, d *Displayer) *Scanner {
	t.Helper()
	code, err := Parse(d.Code().URI())
	if err != nil {
		t.Fatal(err)
	}
	return NewScanner(generate(t), code)
}

// say gives the scanner a message and returns its reply.
func (e ends) say(message []byte) []byte {
	e.t.Helper()
	reply, err := e.scanner.Handle(message)
	if err != nil || reply == nil {
		e.t.Fatalf("scanner says %x, %v", reply, err)
	}
	return reply
}

// answer gives the displayer a message and returns its reply.
func (e ends) answer(message []byte) []byte {
	e.t.Helper()
	o := e.displayer.Handle(message)
	if o.Refuse != nil || o.Reply == nil || o.Pair != nil {
		e.t.Fatalf("displayer says %+v", o)
	}
	return o.Reply
}

// refused gives the displayer a message that it must refuse, and returns what it tells the scanner.
func (e ends) refused(message []byte, want error) []byte {
	e.t.Helper()
	o := e.displayer.Handle(message)
	if !errors.Is(o.Refuse, want) || o.Pair != nil {
		e.t.Fatalf("displayer says %v, want %v", o.Refuse, want)
	}
	return o.Reply
}

func TestPairing(t *testing.T) {
	for _, role := range []identity.Role{identity.Camera, identity.Viewer} {
		t.Run(role.String()+" displays", func(t *testing.T) {
			e := begin(t, role)
			hello := e.displayer.Hello()
			if !bytes.Equal(hello, e.displayer.Hello()) {
				t.Error("two bundles under one nonce")
			}
			m1 := e.say(hello)
			m2 := e.answer(m1)
			m3 := e.say(m2)
			pair := e.displayer.Handle(m3).Pair
			other := e.scanner.Pair()
			if pair == nil || other == nil {
				t.Fatal("no pair")
			}
			for name, m := range map[string][]byte{"bundle": hello, "M1": m1, "M2": m2, "M3": m3} {
				if len(m) > 8192 {
					t.Errorf("%s has %d bytes", name, len(m))
				}
			}
			checkPair(t, pair, other, role)
			for name, f := range map[string]func(){"displayer": e.displayer.Forget, "scanner": e.scanner.Forget} {
				f()
				if pair.Secret == (envelope.Secret{}) || other.Secret == (envelope.Secret{}) {
					t.Errorf("forgetting the %s wiped the pair", name)
				}
			}
			var zero [secretSize]byte
			if e.displayer.exchange.code.secret != zero || e.scanner.exchange.code.secret != zero {
				t.Error("S is still there")
			}
		})
	}
}

// checkPair: the pairs are each other's, and an envelope sealed by one opens at the other.
func checkPair(t *testing.T, displayer, scanner *envelope.Pair, role identity.Role) {
	t.Helper()
	if displayer.Role != role || scanner.Role != role.Other() {
		t.Error("roles")
	}
	if displayer.Camera() != scanner.Camera() || displayer.Viewer() != scanner.Viewer() || displayer.Camera() == displayer.Viewer() {
		t.Error("fingerprints")
	}
	if !displayer.Secret.Equal(scanner.Secret) || !displayer.MailboxSecret.Equal(scanner.MailboxSecret) || displayer.Secret.Equal(displayer.MailboxSecret) {
		t.Error("secrets")
	}
	now := time.Now()
	box := displayer.Mailbox(envelope.To(role.Other()), 1)
	s, err := displayer.Seal(box, envelope.Message{Type: envelope.TypeWelcome, Expiry: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scanner.Open(box, s.Wire, now); err != nil {
		t.Error(err)
	}
}

// TestCopies: mailboxes deliver at least once, so every message may come again and changes nothing.
func TestCopies(t *testing.T) {
	e := begin(t, identity.Camera)
	hello := e.displayer.Hello()
	m1 := e.say(hello)
	if !bytes.Equal(m1, e.say(hello)) {
		t.Error("a second M1")
	}
	m2 := e.answer(m1)
	if !bytes.Equal(m2, e.answer(m1)) {
		t.Error("a second M2")
	}
	m3 := e.say(m2)
	if !bytes.Equal(m3, e.say(m2)) || !bytes.Equal(m1, e.say(hello)) {
		t.Error("a second M3")
	}
	if o := e.displayer.Handle(m3); o.Pair == nil || o.Refuse != nil {
		t.Fatalf("M3: %v", o.Refuse)
	}
	if o := e.displayer.Handle(m3); o.Pair != nil || o.Refuse != nil || o.Reply != nil {
		t.Error("a copy of M3 made a second pair, or a fuss")
	}
	if !bytes.Equal(m2, e.answer(m1)) {
		t.Error("a copy of M1 after the pairing")
	}
	if reply, err := e.scanner.Handle(e.displayer.Used()); reply != nil || err != nil {
		t.Errorf("the scanner minds that its own code is used: %v", err)
	}
}

// TestBound: the first scanner binds the code, another is refused and told why, and the first still pairs.
func TestBound(t *testing.T) {
	e := begin(t, identity.Camera)
	late := ends{t, e.displayer, scan(t, e.displayer)}
	m2 := e.answer(e.say(e.displayer.Hello()))
	lateM1 := late.say(e.displayer.Hello())
	refusal := late.refused(lateM1, ErrBound)
	if _, err := late.scanner.Handle(refusal); !errors.Is(err, ErrBound) {
		t.Errorf("the other scanner is told %v", err)
	}
	if _, err := late.scanner.Handle(m2); !errors.Is(err, ErrInvalid) || late.scanner.Pair() != nil {
		t.Errorf("another's M2: %v", err)
	}
	if e.displayer.Handle(e.say(m2)).Pair == nil {
		t.Fatal("the first scanner did not pair")
	}
	if _, err := late.scanner.Handle(late.refused(lateM1, ErrUsed)); !errors.Is(err, ErrUsed) {
		t.Errorf("after the pairing the other scanner is told %v", err)
	}
}

// TestExpiry: the displayer's own timer decides, whatever the code says.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := begin(t, identity.Camera)
		m1 := e.say(e.displayer.Hello())
		m2 := e.answer(m1)
		m3 := e.say(m2)
		time.Sleep(time.Minute + time.Nanosecond)
		if _, err := e.scanner.Handle(e.refused(m1, ErrExpired)); !errors.Is(err, ErrClosed) {
			t.Errorf("the scanner is told %v", err)
		}
		if o := e.displayer.Handle(m3); o.Pair != nil {
			t.Error("paired after the code had expired")
		}
	})
}

// TestChanged flips bits of every message, cuts it, lengthens it and gives it another type: nothing is taken, and the
// true message is still good afterwards.
func TestChanged(t *testing.T) {
	e := begin(t, identity.Camera)
	hello := e.displayer.Hello()
	for name, bad := range changes(hello) {
		if reply, err := e.scanner.Handle(bad); reply != nil || err == nil && len(bad) > 0 && bad[0] != typeM2 {
			t.Fatalf("bundle, %s: %x, %v", name, reply, err)
		}
	}
	m1 := e.say(hello)
	for name, bad := range changes(m1) {
		if o := e.displayer.Handle(bad); o.Pair != nil || e.displayer.boundM1 != nil || o.Reply != nil && o.Reply[0] != typeRefusal {
			t.Fatalf("M1, %s: taken", name)
		}
	}
	m2 := e.answer(m1)
	for name, bad := range changes(m2) {
		if reply, err := e.scanner.Handle(bad); e.scanner.Pair() != nil || err == nil && !bytes.Equal(reply, m1) {
			t.Fatalf("M2, %s: %x, %v", name, reply, err)
		}
	}
	m3 := e.say(m2)
	for name, bad := range changes(m3) {
		if o := e.displayer.Handle(bad); o.Pair != nil {
			t.Fatalf("M3, %s: paired", name)
		}
	}
	if e.displayer.Handle(m3).Pair == nil {
		t.Error("the true M3 is no good any more")
	}
}

func changes(m []byte) map[string][]byte {
	out := map[string][]byte{"empty": {}, "type alone": m[:1], "cut": m[:len(m)-1], "longer": append(bytes.Clone(m), 0)}
	for at := 1; at < len(m); at += 1 + len(m)/40 {
		b := bytes.Clone(m)
		b[at] ^= 0x10
		out[fmt.Sprintf("byte %d", at)] = b
	}
	for kind := byte(0); kind <= 6; kind++ {
		if kind != m[0] {
			out[fmt.Sprintf("type %d", kind)] = append([]byte{kind}, m[1:]...)
		}
	}
	return out
}

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

// TestNoPrintableForm looks for S in what fmt makes of the ends and their code.
func TestNoPrintableForm(t *testing.T) {
	e := begin(t, identity.Camera)
	e.say(e.displayer.Hello())
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&text, strings.Repeat(verb+" ", 3), e.displayer, e.scanner, e.displayer.Code())
	}
	s := e.displayer.exchange.code.secret
	for _, form := range []string{fmt.Sprintf("%x", s[:4]), strings.Trim(fmt.Sprint(s[:4]), "[]"), e.displayer.Code().URI()[40:]} {
		if strings.Contains(text.String(), form) {
			t.Errorf("S was printed: %s", form)
		}
	}
}

// FuzzHandle gives both ends, in the middle of a pairing, whatever comes.
func FuzzHandle(f *testing.F) {
	d, err := NewDisplayer(generate(f), identity.Camera, relay, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	s := NewScanner(generate(f), d.Code())
	hello := d.Hello()
	m1, _ := s.Handle(hello)
	m2 := d.Handle(m1).Reply
	for _, seed := range [][]byte{hello, m1, m2, d.Used(), {typeM3}, append([]byte{typeM3}, make([]byte, m3Size+16)...), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if o := d.Handle(message); o.Pair != nil {
			t.Error("paired by chance")
		}
		if bytes.Equal(message, m2) {
			return
		}
		if _, _ = s.Handle(message); s.Pair() != nil {
			t.Error("paired by chance")
		}
	})
}
