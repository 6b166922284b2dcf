package model

import (
	"crypto/subtle"
	"encoding/binary"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// once records what must never come again. A keystream reveals that a key and nonce were used twice without knowing
// either, because AES-GCM adds the same bytes to whatever it seals with them.
type once struct {
	encapsulations map[[1120]byte]bool
	keystreams     map[[stream]byte]int // by the code, where a message may be repeated
	names          map[[32]byte]mailboxOf
	used           map[envelope.Secret]int // by the attempt
}

const stream = 24 // bytes of a keystream: enough to tell two apart

func newOnce() once {
	return once{make(map[[1120]byte]bool), make(map[[stream]byte]int), make(map[[32]byte]mailboxOf),
		make(map[envelope.Secret]int)}
}

func (o *once) encapsulation(t *rapid.T, what string, enc []byte) {
	key := [1120]byte(enc)
	if o.encapsulations[key] {
		t.Fatalf("%s: an encapsulation comes again", what)
	}
	o.encapsulations[key] = true
}

// keystream records the beginning of a ciphertext and what was sealed in it. code is 0 except for what a code seals
// once and repeats.
func (o *once) keystream(t *rapid.T, what string, code int, ciphertext, plaintext []byte) {
	var key [stream]byte
	subtle.XORBytes(key[:], ciphertext[:stream], plaintext[:stream])
	if _, seen := o.keystreams[key]; seen {
		t.Fatalf("%s: a key and nonce are used twice", what)
	}
	o.keystreams[key] = code
}

func (o *once) hello(t *rapid.T, code int, message, bundle []byte) {
	o.keystream(t, "bundle message", code, message[1:], bundle)
}

// rendezvous records a message that is sent for the first time.
func (o *once) rendezvous(t *rapid.T, p post, w *world) {
	switch p.kind {
	case m1:
		o.encapsulation(t, "M1", p.bytes[1:1121])
		o.keystream(t, "M1", 0, p.bytes[1121:], w.devices[w.attempts[p.attempt-1].device-1].self.Bundle().Bytes())
	case m2:
		o.encapsulation(t, "M2", p.bytes[1:1121])
	case refusal: // reason unknown: the nonce is in front
		o.keystream(t, "refusal", p.code, append(p.bytes[1:13:13], make([]byte, stream)...),
			append(binary.BigEndian.AppendUint64(nil, uint64(p.code)), make([]byte, stream)...))
	}
}

func (o *once) envelope(t *rapid.T, l letter, id envelope.SessionID, wire []byte) {
	o.encapsulation(t, "envelope", wire[9:1129])
	o.keystream(t, "envelope", 0, wire[1129:], binary.BigEndian.AppendUint64(id[:], l.seq))
}

// secrets records the two secrets that a run of the pairing made.
func (o *once) secrets(t *rapid.T, attempt int, s secrets) {
	for _, one := range []envelope.Secret{s.pair, s.mailbox} {
		if o.used[one] != 0 || one.Equal(envelope.Secret{}) {
			t.Fatalf("run %d makes a secret that run %d made before", attempt, o.used[one])
		}
		o.used[one] = attempt
	}
}

// name records a mailbox's name: each place of each pair has one of its own.
func (o *once) name(t *rapid.T, at mailboxOf, name [32]byte) {
	if other, seen := o.names[name]; seen {
		t.Fatalf("%+v and %+v have one mailbox", at, other)
	}
	o.names[name] = at
}
