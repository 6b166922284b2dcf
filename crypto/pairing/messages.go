package pairing

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// The types of messages in the rendezvous mailboxes.
const (
	typeBundle  = 1
	typeM1      = 2
	typeM2      = 3
	typeM3      = 4
	typeRefusal = 5
)

// The reasons of a refusal.
const (
	reasonUsed    = 1
	reasonBound   = 2
	reasonClosed  = 3
	reasonInvalid = 4
	reasonUnsaved = 5
)

const (
	macSize   = 32
	sigSize   = 64
	nonceSize = 32
	encSize   = 1120
	m1Size    = identity.BundleSize + nonceSize + macSize
	m2Size    = 3*nonceSize + macSize + sigSize
	m3Size    = macSize + sigSize
)

// Rendezvous returns the two mailboxes of a code, to the displayer and to the scanner.
func (c Code) Rendezvous() (toDisplayer, toScanner envelope.Mailbox) {
	r := label.KDF(nil, c.secret[:], label.PairingRendezvous, c.Fingerprint[:], 32)
	return envelope.Rendezvous(r, 1), envelope.Rendezvous(r, 2)
}

func (c Code) key(l label.Label, n int) []byte {
	return label.KDF(nil, c.secret[:], l, c.Fingerprint[:], n)
}

// exchange is what both ends compute from the messages so far.
type exchange struct {
	code Code
	ctx  []byte // version, roles, relay URL, displayer's bundle
	t1   [32]byte
	t2   [32]byte
	root []byte
}

func newExchange(c Code, displayer identity.Bundle) exchange {
	ctx := []byte{1, byte(c.Role), byte(c.Role.Other())}
	ctx = binary.BigEndian.AppendUint16(ctx, uint16(len(c.RelayURL)))
	ctx = append(ctx, c.RelayURL...)
	return exchange{code: c, ctx: append(ctx, displayer.Bytes()...)}
}

func (x *exchange) m1Info() []byte {
	h := sha256.Sum256(x.ctx)
	return label.PairingM1.Info(h[:])
}

func (x *exchange) m2Info() []byte { return label.PairingM2.Info(x.t1[:]) }

func (x *exchange) m1MAC(scanner, nonceS []byte) []byte {
	return label.MAC(x.code.key(label.PairingM1MAC, 32), label.PairingM1, x.ctx, scanner, nonceS)
}

func (x *exchange) m2MAC(t []byte) []byte {
	return label.MAC(x.code.key(label.PairingM2MAC, 32), label.PairingM2, t)
}

// sentM1 adds M1's exact body to the transcript.
func (x *exchange) sentM1(scanner, body []byte) {
	t := append(append([]byte{}, x.ctx...), scanner...)
	x.t1 = sha256.Sum256(append(binary.BigEndian.AppendUint16(t, uint16(len(body))), body...))
}

// sentM2 adds M2's exact body to the transcript and derives the root.
func (x *exchange) sentM2(body, k []byte) {
	t := binary.BigEndian.AppendUint16(append([]byte{}, x.t1[:]...), uint16(len(body)))
	x.t2 = sha256.Sum256(append(t, body...))
	ikm := append(append([]byte{}, x.code.secret[:]...), k...)
	x.root = label.KDF(x.t2[:], ikm, label.PairingRoot, nil, 32)
}

func (x *exchange) m3MAC() []byte {
	return label.MAC(label.KDF(nil, x.root, label.PairingM3MAC, nil, 32), label.PairingM3, x.t2[:])
}

func (x *exchange) pair(self *identity.Private, role identity.Role, peer identity.Bundle) *envelope.Pair {
	return &envelope.Pair{
		Self:          self,
		Role:          role,
		Peer:          peer,
		Secret:        x.secret(label.PairSecret),
		MailboxSecret: x.secret(label.MailboxSecret),
	}
}

func (x *exchange) secret(l label.Label) envelope.Secret {
	return envelope.Secret(label.KDF(nil, x.root, l, nil, len(envelope.Secret{})))
}

// forget wipes S and everything derived from it.
func (x *exchange) forget() {
	clear(x.code.secret[:])
	clear(x.root)
}

// sealOnce seals the only message that material (key ‖ nonce, 44 bytes) is ever used for.
func sealOnce(material, plaintext, aad []byte) []byte {
	return label.NewAEAD(material[:32]).Seal(nil, material[32:], plaintext, aad)
}

func openOnce(material, ciphertext, aad []byte) ([]byte, error) {
	return label.NewAEAD(material[:32]).Open(nil, material[32:], ciphertext, aad)
}

func hpkeSeal(to identity.Bundle, info, plaintext []byte) ([]byte, error) {
	sealed, err := hpke.Seal(to.KEM(), hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal pairing message: %w", err)
	}
	return sealed, nil
}

// hpkeOpen opens a message with exactly size bytes of plaintext.
func hpkeOpen(self *identity.Private, info, body []byte, size int) ([]byte, error) {
	if len(body) != encSize+size+16 {
		return nil, ErrInvalid
	}
	plaintext, err := hpke.Open(self.KEM(), hpke.HKDFSHA256(), hpke.AES256GCM(), info, body)
	if err != nil {
		return nil, ErrInvalid
	}
	return plaintext, nil
}

func (c Code) refusal(reason byte) []byte {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	body := label.NewAEAD(c.key(label.PairingRefusal, 32)).Seal(nonce, nonce, []byte{reason}, []byte{typeRefusal})
	return append([]byte{typeRefusal}, body...)
}

// refused reads a refusal's body. A body that does not open is no refusal.
func (c Code) refused(body []byte) error {
	if len(body) != 12+1+16 {
		return ErrStrange
	}
	reason, err := label.NewAEAD(c.key(label.PairingRefusal, 32)).Open(nil, body[:12], body[12:], []byte{typeRefusal})
	if err != nil {
		return ErrStrange
	}

	switch reason[0] {
	case reasonUsed:
		return ErrUsed
	case reasonBound:
		return ErrBound
	case reasonClosed:
		return ErrClosed
	case reasonUnsaved:
		return ErrUnsaved
	}

	return ErrInvalid
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
