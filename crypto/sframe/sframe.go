// Package sframe encrypts and decrypts media frames with SFrame (RFC 9605), cipher suite AES_256_GCM_SHA512_128 (5).
//
//	+-+-+-+-+-+-+-+-+---------+---------+--------------------+---------+
//	|X|  K  |Y|  C  | KID ... | CTR ... | encrypted frame    | tag 16  |
//	+-+-+-+-+-+-+-+-+---------+---------+--------------------+---------+
//
// A [Sender] never reuses a counter, and a [Receiver] accepts each counter once. Both belong to one key, one key ID and
// one goroutine. The package promises to return nothing that did not open.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package sframe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

var (
	// ErrOpen is returned for a frame that does not open under the receiver's key and metadata.
	ErrOpen = errors.New("frame does not open")
	// ErrHeader is returned for bytes that do not begin with an SFrame header in its shortest form.
	ErrHeader = errors.New("malformed SFrame header")
	// ErrKID is returned for a frame of another key id.
	ErrKID = errors.New("frame of another key id")
	// ErrReplayed is returned for a frame whose counter was accepted before, or is too old to tell.
	ErrReplayed = errors.New("frame was delivered before")
	// ErrBaseKey is returned for a base key shorter than the suite's key.
	ErrBaseKey = errors.New("SFrame base key too short")
	// ErrExhausted is returned by a sender that has used every counter.
	ErrExhausted = errors.New("all frame counters are used")
)

const (
	nonceSize = 12
	tagSize   = 16
	// MaxOverhead bounds by how many bytes a sealed frame is longer than its plaintext.
	MaxOverhead = maxHeader + tagSize
)

// suite is a cipher suite of RFC 9605, section 4.5.
type suite struct {
	id      uint16
	keySize int
	hash    func() hash.Hash
}

var (
	suite4 = suite{4, 16, sha256.New} // AES_128_GCM_SHA256_128: for the RFC's vectors only
	suite5 = suite{5, 32, sha512.New} // AES_256_GCM_SHA512_128: the one in use
)

// key is a derived key (RFC 9605, section 4.4.2).
type key struct {
	aead cipher.AEAD
	salt [nonceSize]byte
	kid  uint64
}

// deriveInUse is derive for the callers of this package: suite 5, and no key weaker than that.
func deriveInUse(baseKey []byte, kid uint64) (*key, error) {
	if len(baseKey) < suite5.keySize {
		return nil, fmt.Errorf("derive frame key: %w", ErrBaseKey)
	}
	return derive(suite5, baseKey, kid)
}

func derive(s suite, baseKey []byte, kid uint64) (*key, error) {
	context := string(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(nil, kid), s.id))
	secret, err1 := hkdf.Extract(s.hash, baseKey, nil)
	k, err2 := hkdf.Expand(s.hash, secret, "SFrame 1.0 Secret key "+context, s.keySize)
	salt, err3 := hkdf.Expand(s.hash, secret, "SFrame 1.0 Secret salt "+context, nonceSize)
	aead, err4 := newGCM(k)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("derive frame key: %w", err)
	}

	return &key{aead: aead, salt: [nonceSize]byte(salt), kid: kid}, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce returns salt XOR CTR (section 4.4.3). A key belongs to one sender, whose CTR only rises: no nonce is used
// twice.
func (k *key) nonce(dst *[nonceSize]byte, ctr uint64) []byte {
	*dst = k.salt
	binary.BigEndian.PutUint64(dst[4:], binary.BigEndian.Uint64(dst[4:])^ctr)
	return dst[:]
}

// Sender seals frames. One goroutine uses it.
type Sender struct {
	key       *key
	next      uint64
	exhausted bool
	scratch   [nonceSize]byte
	aad       []byte
}

// NewSender returns a sender of suite 5. baseKey has at least 32 bytes and belongs to this sender alone: no other
// sender, session or track may use it.
func NewSender(baseKey []byte, kid uint64) (*Sender, error) {
	k, err := deriveInUse(baseKey, kid)
	if err != nil {
		return nil, err
	}
	return &Sender{key: k}, nil
}

// Seal appends the sealed frame to dst. metadata is authenticated but not sent. dst and plaintext must not
// overlap.
func (s *Sender) Seal(dst, metadata, plaintext []byte) ([]byte, error) {
	if s.exhausted {
		return nil, ErrExhausted
	}
	ctr := s.next
	s.next++
	s.exhausted = s.next == 0
	start := len(dst)
	dst = appendHeader(dst, s.key.kid, ctr)
	s.aad = append(append(s.aad[:0], dst[start:]...), metadata...)

	return s.key.aead.Seal(dst, s.key.nonce(&s.scratch, ctr), plaintext, s.aad), nil
}

// Receiver opens the frames of one sender. One goroutine uses it.
type Receiver struct {
	key     *key
	seen    window
	scratch [nonceSize]byte
	aad     []byte
}

// NewReceiver returns a receiver for the frames of a sender with the same arguments.
func NewReceiver(baseKey []byte, kid uint64) (*Receiver, error) {
	k, err := deriveInUse(baseKey, kid)
	if err != nil {
		return nil, err
	}
	return &Receiver{key: k}, nil
}

// Open appends the plaintext to dst and returns it with the frame's counter. A counter counts as used only once its
// frame has opened, so that a forged frame cannot displace a genuine one. Errors: ErrHeader, ErrKID, ErrReplayed,
// ErrOpen.
func (r *Receiver) Open(dst, metadata, frame []byte) (plaintext []byte, ctr uint64, err error) {
	kid, ctr, size, err := parseHeader(frame)
	if err != nil {
		return nil, 0, err
	}
	if kid != r.key.kid {
		return nil, 0, ErrKID
	}
	if r.seen.has(ctr) {
		return nil, 0, ErrReplayed
	}

	r.aad = append(append(r.aad[:0], frame[:size]...), metadata...)
	plaintext, err = r.key.aead.Open(dst, r.key.nonce(&r.scratch, ctr), frame[size:], r.aad)
	if err != nil {
		return nil, 0, ErrOpen
	}
	r.seen.add(ctr)
	return plaintext, ctr, nil
}
