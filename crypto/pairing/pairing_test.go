package pairing

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/test/bubble"
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

// ends are a displayer, and a scanner that has read its code.
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

// refused gives the displayer a message that it must refuse, and returns its reply to the scanner.
func (e ends) refused(message []byte, want error) []byte {
	e.t.Helper()
	o := e.displayer.Handle(message)
	if !errors.Is(o.Refuse, want) || o.Pair != nil {
		e.t.Fatalf("displayer says %v, want %v", o.Refuse, want)
	}
	return o.Reply
}

func TestBothEndsGetTheSamePair(t *testing.T) {
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

// checkPair checks that two pairs belong together: an envelope sealed by one opens at the other.
func checkPair(t *testing.T, displayer, scanner *envelope.Pair, role identity.Role) {
	t.Helper()
	if displayer.Role != role || scanner.Role != role.Other() {
		t.Error("roles")
	}
	if displayer.Camera() != scanner.Camera() || displayer.Viewer() != scanner.Viewer() ||
		displayer.Camera() == displayer.Viewer() {
		t.Error("fingerprints")
	}

	if !displayer.Secret.Equal(scanner.Secret) || !displayer.MailboxSecret.Equal(scanner.MailboxSecret) ||
		displayer.Secret.Equal(displayer.MailboxSecret) {
		t.Error("secrets")
	}
	now := time.Now()
	box := displayer.Mailbox(envelope.To(role.Other()), 1)
	s, err := displayer.Seal(box, envelope.Message{Type: envelope.TypeWelcome, Sent: now, Expiry: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := scanner.Open(box, s.Wire, now); err != nil {
		t.Error(err)
	}
}

// TestCopiesChangeNothing: mailboxes deliver at least once, so every message may come again and changes nothing.
func TestCopiesChangeNothing(t *testing.T) {
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
		t.Error("a copy of M3 made a second pair, or was not passed over")
	}

	if !bytes.Equal(m2, e.answer(m1)) {
		t.Error("a copy of M1 after the pairing")
	}
	if reply, err := e.scanner.Handle(e.displayer.Used()); reply != nil || err != nil {
		t.Errorf("the scanner does not pass over the message that its own code is used: %v", err)
	}
}

// TestAnswerBeforeTheBundleIsPassedOver: a mailbox may still hold answers to an earlier attempt, and deliver them
// before the bundle. They are no reason for alarm, and do not count as refused.
func TestAnswerBeforeTheBundleIsPassedOver(t *testing.T) {
	e, earlier := begin(t, identity.Camera), begin(t, identity.Camera)
	old := earlier.answer(earlier.say(earlier.displayer.Hello()))
	for range 20 {
		if reply, err := e.scanner.Handle(old); reply != nil || err != nil {
			t.Fatalf("scanner says %x, %v", reply, err)
		}
	}

	if e.displayer.Handle(e.say(e.answer(e.say(e.displayer.Hello())))).Pair == nil {
		t.Error("the ends do not pair afterwards")
	}
}

// TestFirstScannerBindsTheCode: the first scanner binds the code. Another is refused and hears why, and the first still
// pairs.
func TestFirstScannerBindsTheCode(t *testing.T) {
	e := begin(t, identity.Camera)
	late := ends{t, e.displayer, scan(t, e.displayer)}
	m2 := e.answer(e.say(e.displayer.Hello()))
	lateM1 := late.say(e.displayer.Hello())
	refusal := late.refused(lateM1, ErrBound)
	if _, err := late.scanner.Handle(refusal); !errors.Is(err, ErrBound) {
		t.Errorf("the other scanner hears %v", err)
	}

	if _, err := late.scanner.Handle(m2); !errors.Is(err, ErrInvalid) || late.scanner.Pair() != nil {
		t.Errorf("another's M2: %v", err)
	}
	if e.displayer.Handle(e.say(m2)).Pair == nil {
		t.Fatal("the first scanner did not pair")
	}

	if _, err := late.scanner.Handle(late.refused(lateM1, ErrUsed)); !errors.Is(err, ErrUsed) {
		t.Errorf("after the pairing the other scanner hears %v", err)
	}
}

// TestDisplayersTimerEndsTheCode: the displayer's own timer decides, whatever the code says.
func TestDisplayersTimerEndsTheCode(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := begin(t, identity.Camera)
		m1 := e.say(e.displayer.Hello())
		m2 := e.answer(m1)
		m3 := e.say(m2)
		time.Sleep(time.Minute + time.Nanosecond)
		if _, err := e.scanner.Handle(e.refused(m1, ErrExpired)); !errors.Is(err, ErrClosed) {
			t.Errorf("the scanner hears %v", err)
		}

		if o := e.displayer.Handle(m3); o.Pair != nil {
			t.Error("paired after the code had expired")
		}
	})
}

// A code expires while the machine sleeps, although Go's own clock stops then.
func TestCodeExpiresWhileTheMachineSleeps(t *testing.T) {
	e := begin(t, identity.Camera)
	m1 := e.say(e.displayer.Hello())
	m3 := e.say(e.answer(m1))
	e.displayer.boot -= time.Minute // the same by the other clock
	if _, err := e.scanner.Handle(e.refused(m1, ErrExpired)); !errors.Is(err, ErrClosed) {
		t.Errorf("the scanner hears %v", err)
	}

	if o := e.displayer.Handle(m3); o.Pair != nil {
		t.Error("paired after the code had expired")
	}
}

// TestChangedMessageIsRefused flips bits of every message, truncates and extends it, and changes its type: all of that
// is refused, and the genuine message is still accepted afterwards.
func TestChangedMessageIsRefused(t *testing.T) {
	e := begin(t, identity.Camera)
	hello := e.displayer.Hello()
	for name, bad := range changes(hello) {
		if reply, err := e.scanner.Handle(bad); reply != nil || err == nil && len(bad) > 0 && bad[0] != typeM2 {
			t.Fatalf("bundle, %s: %x, %v", name, reply, err)
		}
	}

	m1 := e.say(hello)
	for name, bad := range changes(m1) {
		e.displayer.refused = 0
		if o := e.displayer.Handle(bad); o.Pair != nil || e.displayer.boundM1 != nil ||
			o.Reply != nil && o.Reply[0] != typeRefusal {
			t.Fatalf("M1, %s: accepted", name)
		}
	}

	m2 := e.answer(m1)
	for name, bad := range changes(m2) {
		e.scanner.refused = 0
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
		t.Error("the genuine M3 is no longer accepted")
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

// TestNoPrintableForm looks for S in what fmt makes of the ends and their code.
func TestNoPrintableForm(t *testing.T) {
	e := begin(t, identity.Camera)
	e.say(e.displayer.Hello())
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&text, strings.Repeat(verb+" ", 3), e.displayer, e.scanner, e.displayer.Code())
	}

	s := e.displayer.exchange.code.secret
	for _, form := range []string{fmt.Sprintf("%x", s[:4]), strings.Trim(fmt.Sprint(s[:4]), "[]"),
		e.displayer.Code().URI()[40:]} {
		if strings.Contains(text.String(), form) {
			t.Errorf("S was printed: %s", form)
		}
	}
}

// A message that nobody with the code has sent is distinguished from one that the other end sent, to us or to somebody
// else: only the first is the relay's doing. A person sees the same words for both.
func TestStrangersMessagesAreDistinguished(t *testing.T) {
	e, other := begin(t, identity.Camera), begin(t, identity.Camera)
	second := scan(t, e.displayer)
	m1 := e.say(e.displayer.Hello())
	m2 := e.answer(m1)
	if _, err := second.Handle(e.displayer.Hello()); err != nil {
		t.Fatal(err)
	}

	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 1
		return b
	}

	scanner := func(message []byte) error { _, err := second.Handle(message); return err }
	begun := begin(t, identity.Camera)
	begun.answer(begun.say(begun.displayer.Hello()))
	displayer := func(message []byte) error { return begun.displayer.Handle(message).Refuse }
	for _, tt := range []struct {
		name    string
		err     error
		strange bool
	}{
		{"an answer to the first scanner", scanner(m2), false},
		{"the displayer's word that a message was invalid", scanner(e.displayer.exchange.code.refusal(reasonInvalid)),
			false},
		{"a refusal of another code", scanner(other.displayer.Used()), true},
		{"another displayer's bundle", func() error {
			_, err := scan(t, e.displayer).Handle(other.displayer.Hello())
			return err
		}(), true},
		{"a bundle tampered with", func() error {
			_, err := scan(t, e.displayer).Handle(flip(e.displayer.Hello(), 60))
			return err
		}(), true},
		{"nothing", scanner(nil), true},
		{"an unknown type", scanner([]byte{77}), true},
		{"a displayer is sent nothing", displayer(nil), true},
		{"a displayer is sent an unknown type", displayer([]byte{77}), true},
		{"M1 of another code", other.displayer.Handle(m1).Refuse, true},
		{"M3 of another code", displayer(e.say(m2)), true},
	} {
		if !errors.Is(tt.err, ErrInvalid) || errors.Is(tt.err, ErrStrange) != tt.strange ||
			tt.err.Error() != ErrInvalid.Error() {
			t.Errorf("%s: %v, strange %t; want strange %t", tt.name, tt.err, errors.Is(tt.err, ErrStrange), tt.strange)
		}
	}
}

// TestRefusedMessagesAreBounded: a relay that floods a rendezvous makes neither end use its private key, or tell the
// person, more than sixteen times. An end that is bound already still accepts genuine messages.
func TestRefusedMessagesAreBounded(t *testing.T) {
	const most = 16
	spoiled := func(message []byte) []byte {
		b := bytes.Clone(message)
		b[len(b)-1] ^= 1
		return b
	}

	e := begin(t, identity.Camera)
	m1 := e.say(e.displayer.Hello())
	m2 := e.answer(m1)
	told := 0
	for range 10 * most {
		if o := e.displayer.Handle(spoiled(m1)); o.Refuse != nil {
			told++
		} else if o.Reply != nil {
			t.Fatal("the relay is answered, and the person does not hear of it")
		}
	}

	if told != most {
		t.Errorf("the person hears of %d, want %d", told, most)
	}
	for range most - 1 {
		if _, err := e.scanner.Handle(spoiled(m2)); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	}

	if e.displayer.Handle(e.say(m2)).Pair == nil {
		t.Error("the scanner that the code is bound to cannot end its pairing")
	}

	for refused, binds := range map[int]bool{most - 1: true, most: false} {
		unbound := begin(t, identity.Camera)
		first := unbound.say(unbound.displayer.Hello())
		for range refused {
			unbound.displayer.Handle(spoiled(first))
		}

		if o := unbound.displayer.Handle(first); (o.Reply != nil) != binds || o.Refuse != nil ||
			(unbound.displayer.boundM1 != nil) != binds {
			t.Errorf("after %d that did not open: %+v, want it to bind: %t", refused, o, binds)
		}
	}

	deaf := begin(t, identity.Camera)
	reply := deaf.answer(deaf.say(deaf.displayer.Hello()))
	for range most {
		if _, err := deaf.scanner.Handle(spoiled(reply)); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	}

	if _, err := deaf.scanner.Handle(reply); !errors.Is(err, ErrInvalid) || deaf.scanner.Pair() != nil {
		t.Errorf("an M2 is opened after %d that did not open: %v", most, err)
	}
}
