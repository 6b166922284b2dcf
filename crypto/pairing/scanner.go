package pairing

import (
	"bytes"
	"crypto/hmac"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// Scanner is the end that reads the code. One goroutine uses it.
type Scanner struct {
	self      *identity.Private
	exchange  exchange // its ctx is empty until the bundle has arrived
	displayer identity.Bundle
	nonceS    []byte
	m1        []byte
	m3        []byte
	pair      *envelope.Pair
	refused   int // M2s that did not open
	forgotten bool
}

// NewScanner returns the scanner of a code. self's role is the opposite of the displayer's.
func NewScanner(self *identity.Private, code Code) *Scanner {
	return &Scanner{self: self, exchange: exchange{code: code}, nonceS: random(nonceSize)}
}

// Handle handles a message from the rendezvous mailbox and returns what to post to the displayer, if anything. It
// returns ErrInvalid for a message that is not the displayer's to this scanner, and the meaning of a refusal as an
// error. Copies of earlier messages get the same reply.
func (s *Scanner) Handle(message []byte) (reply []byte, err error) {
	if s.forgotten {
		return nil, ErrInvalid
	}
	if len(message) == 0 {
		return nil, ErrStrange
	}

	switch body := message[1:]; message[0] {
	case typeBundle:
		return s.handleBundle(body)
	case typeM2:
		return s.handleM2(body)
	case typeRefusal:
		err := s.exchange.code.refused(body)
		if s.pair != nil && err == ErrUsed {
			return nil, nil // used by us
		}
		return nil, err
	}

	return nil, ErrStrange
}

// Pair returns the pair once M2 has verified, else nil. The devices are paired when the first envelope under it opens.
func (s *Scanner) Pair() *envelope.Pair { return s.pair }

func (s *Scanner) handleBundle(body []byte) ([]byte, error) {
	if s.m1 != nil {
		return s.m1, nil
	}
	code := s.exchange.code
	plaintext, err := openOnce(code.key(label.PairingBundle, 44), body, []byte{typeBundle})
	if err != nil {
		return nil, ErrStrange
	}

	displayer, err := identity.ParseBundle(plaintext)
	if err != nil || displayer.Fingerprint() != code.Fingerprint || code.Fingerprint == s.self.Bundle().Fingerprint() {
		return nil, ErrInvalid
	}
	s.displayer, s.exchange = displayer, newExchange(code, displayer)
	own := s.self.Bundle().Bytes()
	sealed, err := hpkeSeal(displayer, s.exchange.m1Info(),
		bytes.Join([][]byte{own, s.nonceS, s.exchange.m1MAC(own, s.nonceS)}, nil))
	if err != nil {
		return nil, err
	}

	s.exchange.sentM1(own, sealed)
	s.m1 = append([]byte{typeM1}, sealed...)
	return s.m1, nil
}

func (s *Scanner) handleM2(body []byte) ([]byte, error) {
	if s.m1 == nil {
		return nil, nil // from an earlier attempt: the bundle is still to come
	}
	if s.pair != nil {
		return s.m3, nil
	}
	if s.refused >= maxRefused {
		return nil, ErrInvalid
	}

	m3, err := s.answerM2(body)
	if err != nil {
		s.refused++
	}
	return m3, err
}

func (s *Scanner) answerM2(body []byte) ([]byte, error) {
	x := &s.exchange
	plaintext, err := hpkeOpen(s.self, x.m2Info(), body, m2Size)
	if err != nil {
		return nil, err
	}
	nonceS, k := plaintext[:nonceSize], plaintext[2*nonceSize:3*nonceSize]
	mac, signature := plaintext[3*nonceSize:3*nonceSize+macSize], plaintext[3*nonceSize+macSize:]
	t := append(append([]byte{}, x.t1[:]...), plaintext[:3*nonceSize]...)
	if !hmac.Equal(nonceS, s.nonceS) || !hmac.Equal(mac, x.m2MAC(t)) ||
		!s.displayer.Verify(label.PairingM2Signature, append(t, mac...), signature) {
		return nil, ErrInvalid
	}

	x.sentM2(body, k)
	plain := append(x.m3MAC(), s.self.Sign(label.PairingM3Signature, x.t2[:])...)
	s.m3 = append([]byte{typeM3}, sealOnce(label.KDF(nil, x.root, label.PairingM3, nil, 44), plain, nil)...)
	s.pair = x.pair(s.self, x.code.Role.Other(), s.displayer)
	return s.m3, nil
}

// Forget wipes the code's secret. The scanner is useless afterwards; the pair that it made remains.
func (s *Scanner) Forget() {
	s.forgotten = true
	s.exchange.forget()
}

// Format implements fmt.Formatter for every verb; it does not reveal the secrets.
func (s *Scanner) Format(f fmt.State, _ rune) { fmt.Fprint(f, "pairing scanner(redacted)") }
