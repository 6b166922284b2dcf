package pairing

import (
	"bytes"
	"crypto/hmac"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// Displayer is the end that shows the code. One goroutine uses it.
type Displayer struct {
	self     *identity.Private
	exchange exchange
	deadline time.Time     // by Go's monotonic clock, which may stand still while the machine sleeps
	boot     time.Duration // the same by the clock that keeps running then; see clock.SinceBoot

	boundM1 []byte // the first valid M1's exact body
	m2      []byte // the reply to it
	scanner identity.Bundle
	pair    *envelope.Pair
	refused int

	forgotten bool
}

// maxRefused is how many messages one end of a pairing refuses: twice as many as a rendezvous carries. It ignores
// whatever a relay sends beyond that, since each message costs an operation with a private key and a line for a person.
const maxRefused = 16

// Outcome is the result of a message to the displayer.
type Outcome struct {
	Reply  []byte         // post this to the scanner; nil: nothing
	Pair   *envelope.Pair // the new pair, once: commit it, then send the first envelope
	Refuse error          // why a message was refused: tell the person; nil otherwise
}

// NewDisplayer makes a code that is valid for ttl. Both ends will meet at relayURL.
func NewDisplayer(self *identity.Private, role identity.Role, relayURL string, ttl time.Duration) (*Displayer, error) {
	now := time.Now()
	code, err := NewCode(relayURL, role, self.Bundle(), now.Add(ttl))
	if err != nil {
		return nil, err
	}
	return newDisplayer(self, code, now.Add(ttl)), nil
}

func newDisplayer(self *identity.Private, code Code, deadline time.Time) *Displayer {
	return &Displayer{
		self:     self,
		exchange: newExchange(code, self.Bundle()),
		deadline: deadline,
		boot:     clock.SinceBoot() + time.Until(deadline),
	}
}

// expired reports whether the code is no longer valid by either of two clocks.
func (d *Displayer) expired() bool { return time.Now().After(d.deadline) || clock.SinceBoot() > d.boot }

// Code returns the code to show.
func (d *Displayer) Code() Code { return d.exchange.code }

// Hello returns the displayer's first message: its bundle, under a key from the code. It is the same each time.
func (d *Displayer) Hello() []byte {
	material := d.exchange.code.key(label.PairingBundle, 44)
	return append([]byte{typeBundle}, sealOnce(material, d.self.Bundle().Bytes(), []byte{typeBundle})...)
}

// Used returns the message for anybody who scans the code after it was used.
func (d *Displayer) Used() []byte { return d.exchange.code.refusal(reasonUsed) }

// Unsaved returns the message to a scanner whose pair could not be saved.
func (d *Displayer) Unsaved() []byte { return d.exchange.code.refusal(reasonUnsaved) }

// Handle handles a message from the rendezvous mailbox. After Forget, and beyond maxRefused, its Outcome is empty.
func (d *Displayer) Handle(message []byte) Outcome {
	if d.forgotten {
		return Outcome{}
	}
	o := d.handle(message)
	if o.Refuse == nil {
		return o
	}
	if d.refused == maxRefused {
		return Outcome{}
	}

	d.refused++
	return o
}

func (d *Displayer) handle(message []byte) Outcome {
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
	expired := d.expired()
	switch {
	case !expired && d.boundM1 != nil && bytes.Equal(body, d.boundM1):
		return Outcome{Reply: d.m2} // a copy: mailboxes deliver at least once
	case d.pair != nil:
		return d.refuse(reasonUsed, ErrUsed)
	case expired:
		return d.refuse(reasonClosed, ErrExpired)
	case d.boundM1 != nil:
		return d.refuse(reasonBound, ErrBound)
	case d.refused >= maxRefused:
		return Outcome{}
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
	if d.boundM1 == nil || d.pair != nil || d.expired() {
		return Outcome{} // a copy, or too early
	}
	x := &d.exchange
	plaintext, err := openOnce(label.KDF(nil, x.root, label.PairingM3, nil, 44), body, nil)
	if err != nil || len(plaintext) != m3Size {
		return Outcome{Refuse: ErrStrange}
	}
	if !hmac.Equal(plaintext[:macSize], x.m3MAC()) ||
		!d.scanner.Verify(label.PairingM3Signature, x.t2[:], plaintext[macSize:]) {
		return Outcome{Refuse: ErrInvalid}
	}

	d.pair = x.pair(d.self, x.code.Role, d.scanner)
	return Outcome{Pair: d.pair}
}

// Forget wipes the code's secret. The displayer is useless afterwards; the pair that it made remains.
func (d *Displayer) Forget() {
	d.forgotten = true
	d.exchange.forget()
}

// Format implements fmt.Formatter for every verb; it does not reveal the secrets.
func (d *Displayer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "pairing displayer(redacted)") }
