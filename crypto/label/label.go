// Package label holds all of Peephole's key derivations and their versioned labels (doc/protocol.md, section 1):
// HKDF-SHA256, SHA-256, HMAC-SHA256, Ed25519 and AES-256-GCM. Each use has a label of its own, so that nothing made for
// one purpose is valid for another. There are no options.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package label

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// Prefix begins every labelled string.
const Prefix = "peephole v1 "

// Label names one use of a secret, a hash or a signing key.
type Label string

// All labels. No two uses of one key share a label.
const (
	IdentityBundle     Label = "identity bundle"      // Hash: a device's fingerprint
	QRChecksum         Label = "qr checksum"          // Hash: tells a damaged code from a foreign one
	PairingRendezvous  Label = "pairing rendezvous"   // KDF: the secret of the pairing mailboxes
	PairingBundle      Label = "pairing bundle"       // KDF: key and nonce for the one bundle message
	PairingRefusal     Label = "pairing refusal"      // KDF: key of refusals, random nonces
	PairingM1          Label = "pairing m1"           // MAC, HPKE info
	PairingM1MAC       Label = "pairing m1 mac"       // KDF: key of M1's MAC
	PairingM2          Label = "pairing m2"           // MAC, HPKE info
	PairingM2MAC       Label = "pairing m2 mac"       // KDF: key of M2's MAC
	PairingM2Signature Label = "pairing m2 signature" // the displayer's signature
	PairingRoot        Label = "pairing root"         // KDF: what a pair's secrets come from
	PairingM3          Label = "pairing m3"           // MAC; KDF: key and nonce for the one M3
	PairingM3MAC       Label = "pairing m3 mac"       // KDF: key of M3's MAC
	PairingM3Signature Label = "pairing m3 signature" // the scanner's signature
	CodeWords          Label = "code words"           // Hash: the words that name a code
	DeviceWords        Label = "device words"         // Hash: the words that name a device
	PairSecret         Label = "pair secret"          // KDF
	MailboxSecret      Label = "mailbox secret"       // KDF
	PrekeyTag          Label = "prekey tag"           // KDF: which KEM key opens an envelope
	Envelope           Label = "envelope"             // HPKE info; KDF: key and nonce of one envelope
	EnvelopeKey        Label = "envelope key"         // HPKE export
	EnvelopeSession    Label = "envelope session"     // HPKE export: an offer's part of the session secret
	MailboxName        Label = "mailbox name"         // Hash
	MailboxRead        Label = "mailbox read"         // KDF: seed of the key that opens a mailbox
	MailboxWrite       Label = "mailbox write"        // KDF: seed of the key that posts to it
	MailboxDayOffset   Label = "mailbox day offset"   // KDF
	MailboxOpen        Label = "mailbox open"         // signature
	Ticket             Label = "ticket"               // the operator's signature
	RegionMap          Label = "region map"           // the operator's signature
	RegionOrder        Label = "region order"         // MAC: a region's place in a camera's order
	SessionKEM         Label = "session kem"          // HPKE info and export
	SessionTranscript  Label = "session transcript"   // Hash
	SessionSecret      Label = "session secret"       // KDF
	Record             Label = "record"               // KDF: key and iv of one direction of one channel
	SFrame             Label = "sframe"               // KDF: SFrame base key of one sender's track
	FrameBinding       Label = "frame binding"        // Hash: SFrame metadata
	BulkICE            Label = "bulk ice"             // KDF: ICE credentials of one end of a bulk session
	BulkRoot           Label = "bulk root"            // Hash: size and Merkle tree of what a bulk session brings
	HostKey            Label = "host key"             // KDF: seed of a camera's key of one day
	HostDayOffset      Label = "host day offset"      // KDF
	HostListVersion    Label = "host list version"    // MAC: tells a camera which of its host lists a viewer holds
)

// String returns how a labelled string begins: prefix, label, zero byte.
func (l Label) String() string { return Prefix + string(l) + "\x00" }

// Info returns l.String() followed by parts.
func (l Label) Info(parts ...[]byte) []byte {
	b := []byte(l.String())
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// KDF derives n bytes, at most 255 × 32, from ikm (HKDF-SHA256, RFC 5869). A nil salt means an empty one.
func KDF(salt, ikm []byte, l Label, context []byte, n int) []byte {
	key, err := derive(salt, ikm, l.Info(context), n)
	if err != nil { // n is out of range: a mistake in this program
		panic(fmt.Sprintf("derive %s: %v", string(l), err))
	}
	return key
}

func derive(salt, ikm, info []byte, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, ikm, salt, string(info), n)
}

// Hash returns the SHA-256 of the label and the parts. It does not delimit parts: callers pass fixed sizes, or one
// part.
func Hash(l Label, parts ...[]byte) [32]byte { return sha256.Sum256(l.Info(parts...)) }

// MAC returns the HMAC-SHA256 of the label and the parts, 32 bytes.
func MAC(key []byte, l Label, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(l.Info(parts...))
	return h.Sum(nil)
}

// Sign returns the signature of the label and msg (Ed25519, RFC 8032), 64 bytes.
func Sign(key ed25519.PrivateKey, l Label, msg []byte) []byte { return ed25519.Sign(key, l.Info(msg)) }

// Verify reports whether sig is key's signature of the label and msg. Keys and signatures of a wrong size are invalid.
func Verify(key ed25519.PublicKey, l Label, msg, sig []byte) bool {
	return verify(key, l.Info(msg), sig)
}

func verify(key ed25519.PublicKey, msg, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, msg, sig)
}

// NewAEAD returns AES-256-GCM with 12-byte nonces and 16-byte tags. The key must be 32 bytes.
func NewAEAD(key []byte) cipher.AEAD {
	if len(key) != 32 {
		panic(fmt.Sprintf("make aead: key of %d bytes", len(key)))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("make aead: %v", err))
	}

	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(fmt.Sprintf("make aead: %v", err))
	}
	return aead
}
