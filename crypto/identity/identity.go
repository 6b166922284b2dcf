// Package identity is a device's long-term keys: an Ed25519 signing key and an X-Wing KEM key, their public bundle,
// its fingerprint, and the file that keeps them (doc/protocol.md, section 2).
//
// It promises that a private key has no printable form, and that a damaged key file is never replaced. It must never
// log or transmit a private key.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package identity

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/peephole-cam/peephole/crypto/label"
)

// Role says which end of a pair a device is.
type Role uint8

// The two roles.
const (
	Camera Role = 1
	Viewer Role = 2
)

func (r Role) String() string {
	switch r {
	case Camera:
		return "camera"
	case Viewer:
		return "viewer"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Other returns the opposite role.
func (r Role) Other() Role {
	if r == Camera {
		return Viewer
	}
	return Camera
}

// Valid reports whether r is one of the two roles.
func (r Role) Valid() bool { return r == Camera || r == Viewer }

// Fingerprint identifies a device: the labelled SHA-256 of its bundle.
type Fingerprint [32]byte

// String returns the whole fingerprint in lower-case hexadecimal, for people, file names and logs. No part of it
// identifies a device, since anybody can make another device with the same part. No secret is spelled like this, so
// redaction leaves fingerprints alone.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

const (
	// BundleSize is the size of an identity bundle in bytes.
	BundleSize    = 1 + ed25519.PublicKeySize + kemPublicSize
	bundleVersion = 1
	kemPublicSize = 1216
)

// ErrBundle is returned for bytes that are not an identity bundle of version 1.
var ErrBundle = errors.New("not an identity bundle of version 1")

// Bundle is a device's public keys.
type Bundle struct {
	signing ed25519.PublicKey
	kem     hpke.PublicKey
}

// ParseBundle reads a bundle of exactly [BundleSize] bytes.
func ParseBundle(b []byte) (Bundle, error) {
	if len(b) != BundleSize || b[0] != bundleVersion {
		return Bundle{}, fmt.Errorf("parse bundle: %w", ErrBundle)
	}
	kem, err := hpke.MLKEM768X25519().NewPublicKey(b[1+ed25519.PublicKeySize:])
	if err != nil {
		return Bundle{}, fmt.Errorf("parse bundle: %w", errors.Join(ErrBundle, err))
	}
	return Bundle{signing: ed25519.PublicKey(append([]byte(nil), b[1:1+ed25519.PublicKeySize]...)), kem: kem}, nil
}

// Bytes returns the bundle as it travels.
func (b Bundle) Bytes() []byte {
	out := append([]byte{bundleVersion}, b.signing...)
	return append(out, b.kem.Bytes()...)
}

// IsZero reports whether b was never parsed.
func (b Bundle) IsZero() bool { return b.kem == nil }

// Fingerprint returns the device's fingerprint.
func (b Bundle) Fingerprint() Fingerprint { return label.Hash(label.IdentityBundle, b.Bytes()) }

// KEM returns the public key to seal to.
func (b Bundle) KEM() hpke.PublicKey { return b.kem }

// Verify reports whether sig is the device's signature of msg under l.
func (b Bundle) Verify(l label.Label, msg, sig []byte) bool {
	return label.Verify(b.signing, l, msg, sig)
}

// Private is a device's private keys. It has no printable form.
type Private struct {
	seeds   [64]byte // Ed25519 seed, X-Wing seed
	signing ed25519.PrivateKey
	kem     hpke.PrivateKey
}

// Generate makes a new identity.
func Generate() (*Private, error) {
	var seeds [64]byte
	rand.Read(seeds[:])
	return fromSeeds(seeds)
}

// FromSeeds rebuilds an identity from its two seeds: Ed25519 (RFC 8032) and X-Wing, 32 bytes each.
func FromSeeds(signing, kem [32]byte) (*Private, error) {
	return fromSeeds([64]byte(slices.Concat(signing[:], kem[:])))
}

func fromSeeds(seeds [64]byte) (*Private, error) {
	kem, err := hpke.MLKEM768X25519().NewPrivateKey(seeds[32:])
	if err != nil {
		return nil, fmt.Errorf("make kem key: %w", err)
	}
	return &Private{seeds: seeds, signing: ed25519.NewKeyFromSeed(seeds[:32]), kem: kem}, nil
}

// Bundle returns the public keys.
func (p *Private) Bundle() Bundle {
	return Bundle{signing: p.signing.Public().(ed25519.PublicKey), kem: p.kem.PublicKey()}
}

// Sign signs msg under l.
func (p *Private) Sign(l label.Label, msg []byte) []byte { return label.Sign(p.signing, l, msg) }

// KEM returns the private key that opens what is sealed to the bundle.
func (p *Private) KEM() hpke.PrivateKey { return p.kem }

const redacted = "identity(redacted)"

// LogValue implements slog.LogValuer; it does not reveal the key.
func (Private) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter for every verb; it does not reveal the key.
func (Private) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }
