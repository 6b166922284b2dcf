package pairing

import (
	"bytes"
	"crypto/hmac"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// Displayer is the end that shows the code. It is used from one goroutine.
type Displayer struct {
	self     *identity.Private
	exchange exchange
	deadline time.Time // on the monotonic clock

	boundM1 []byte // the first valid M1's exact body
	m2      []byte // the reply to it
	scanner identity.Bundle
	pair    *envelope.Pair

	forgotten bool
}

// Outcome is what a message to the displayer led to.
type Outcome struct {
	Reply  []byte         // post this to the scanner; nil: nothing to say
	Pair   *envelope.Pair // the new pair, once: commit it, then send the first envelope
	Refuse error          // why a message was refused: tell the person; nil otherwise
}

// NewDisplayer makes a code that is good for ttl. relayURL is where both ends will meet.
func NewDisplayer(self *identity.Private, role identity.Role, relayURL string, ttl time.Duration) (*Displayer, error) {
	now := time.Now()
	code, err := NewCode(relayURL, role, self.Bundle(), now.Add(ttl))
	if err != nil {
		return nil, err
	}
	return newDisplayer(self, code, now.Add(ttl)), nil
}

func newDisplayer(self *identity.Private, code Code, deadline time.Time) *Displayer {
	return &Displayer{self: self, exchange: newExchange(code, self.Bundle()), deadline: deadline}
}

// Code is the code to show.
func (d *Displayer) Code() Code { return d.exchange.code }

// Hello is the displayer's first message: its bundle, under a key from the code. It is the same each time.
func (d *Displayer) Hello() []byte {
	material := d.exchange.code.key(label.PairingBundle, 44)
	return append([]byte{typeBundle}, sealOnce(material, d.self.Bundle().Bytes(), []byte{typeBundle})...)
}

// Used is the message that a used code is left with.
func (d *Displayer) Used() []byte { return d.exchange.code.refusal(reasonUsed) }

// Handle takes a message from the rendezvous mailbox. After Forget it says nothing to anybody.
func (d *Displayer) Handle(message []byte) Outcome {
	if d.forgotten {
		return Outcome{}
	}
	if len(message) == 0 {
		return Outcome{Refuse: ErrStrange}
	}
	switch body := message[1:]; message[0] {
	case typeM1:
		return d.handleM1(body)
	case typeM3:
		return d.handleM3(body)
	}
	return Outcome{Refuse: ErrStrange}
}

func (d *Displayer) refuse(reason byte, err error) Outcome {
	return Outcome{Reply: d.exchange.code.refusal(reason), Refuse: err}
}

func (d *Displayer) handleM1(body []byte) Outcome {
	expired := time.Now().After(d.deadline)
	switch {
	case !expired && d.boundM1 != nil && bytes.Equal(body, d.boundM1):
		return Outcome{Reply: d.m2} // mailboxes deliver at least once
	case d.pair != nil:
		return d.refuse(reasonUsed, ErrUsed)
	case expired:
		return d.refuse(reasonClosed, ErrExpired)
	case d.boundM1 != nil:
		return d.refuse(reasonBound, ErrBound)
	}
	plaintext, err := hpkeOpen(d.self, d.exchange.m1Info(), body, m1Size)
	if err != nil {
		return d.refuse(reasonInvalid, ErrStrange)
	}
	bundle, rest := plaintext[:identity.BundleSize], plaintext[identity.BundleSize:]
	nonceS, mac := rest[:nonceSize], rest[nonceSize:]
	if !hmac.Equal(mac, d.exchange.m1MAC(bundle, nonceS)) {
		return d.refuse(reasonInvalid, ErrInvalid)
	}
	scanner, err := identity.ParseBundle(bundle)
	if err != nil || scanner.Fingerprint() == d.self.Bundle().Fingerprint() {
		return d.refuse(reasonInvalid, ErrInvalid)
	}
	return d.reply(scanner, body, nonceS)
}

// reply binds the code to the scanner of a valid M1 and makes M2.
func (d *Displayer) reply(scanner identity.Bundle, m1, nonceS []byte) Outcome {
	x := &d.exchange
	x.sentM1(scanner.Bytes(), m1)
	nonceD, k := random(nonceSize), random(32)
	t := bytes.Join([][]byte{x.t1[:], nonceS, nonceD, k}, nil)
	mac := x.m2MAC(t)
	signature := d.self.Sign(label.PairingM2Signature, append(t, mac...))
	body, err := hpkeSeal(scanner, x.m2Info(), bytes.Join([][]byte{nonceS, nonceD, k, mac, signature}, nil))
	if err != nil {
		return d.refuse(reasonInvalid, err)
	}
	x.sentM2(body, k)
	d.boundM1, d.scanner = bytes.Clone(m1), scanner
	d.m2 = append([]byte{typeM2}, body...)
	return Outcome{Reply: d.m2}
}

func (d *Displayer) handleM3(body []byte) Outcome {
	if d.boundM1 == nil || d.pair != nil || time.Now().After(d.deadline) {
		return Outcome{} // a copy, or too early: nothing to say
	}
	x := &d.exchange
	plaintext, err := openOnce(label.KDF(nil, x.root, label.PairingM3, nil, 44), body, nil)
	if err != nil || len(plaintext) != m3Size {
		return Outcome{Refuse: ErrStrange}
	}
	if !hmac.Equal(plaintext[:macSize], x.m3MAC()) || !d.scanner.Verify(label.PairingM3Signature, x.t2[:], plaintext[macSize:]) {
		return Outcome{Refuse: ErrInvalid}
	}
	d.pair = x.pair(d.self, x.code.Role, d.scanner)
	return Outcome{Pair: d.pair}
}

// Forget wipes the code's secret. The displayer is of no more use; the pair that it made stays.
func (d *Displayer) Forget() {
	d.forgotten = true
	d.exchange.forget()
}

// Format implements fmt.Formatter for every verb; it says nothing of the secrets.
func (d *Displayer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "pairing displayer(redacted)") }
