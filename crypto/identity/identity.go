// Package identity is a device's long-term keys: an Ed25519 signing key and an X-Wing KEM key, their public bundle,
// its fingerprint, and the file that keeps them (doc/protocol.md, section 2).
//
// It promises that a private key has no printable form and that a key file which cannot be read whole is never
// replaced. It must never log or transmit a private key.
package identity

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"

	"github.com/peephole-cam/peephole/crypto/label"
)

// Role is which end of a pair a device is.
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

// Other is the opposite role.
func (r Role) Other() Role {
	if r == Camera {
		return Viewer
	}
	return Camera
}

// Valid says whether r is one of the two.
func (r Role) Valid() bool { return r == Camera || r == Viewer }

// Fingerprint names a device: the labelled SHA-256 of its bundle.
type Fingerprint [32]byte

func (f Fingerprint) String() string { return base64.RawURLEncoding.EncodeToString(f[:]) }

// Short is the fingerprint's first 8 bytes in base64url, for file names and people.
func (f Fingerprint) Short() string { return base64.RawURLEncoding.EncodeToString(f[:8]) }

const (
	// BundleSize is the size of an identity bundle in bytes.
	BundleSize    = 1 + ed25519.PublicKeySize + kemPublicSize
	bundleVersion = 1
	kemPublicSize = 1216
)

// ErrBundle is returned for bytes that are no identity bundle of version 1.
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

// Bytes is the bundle as it travels.
func (b Bundle) Bytes() []byte {
	out := append([]byte{bundleVersion}, b.signing...)
	return append(out, b.kem.Bytes()...)
}

// IsZero says whether b was never parsed.
func (b Bundle) IsZero() bool { return b.kem == nil }

// Fingerprint names the device.
func (b Bundle) Fingerprint() Fingerprint { return label.Hash(label.IdentityBundle, b.Bytes()) }

// KEM is the public key to seal to.
func (b Bundle) KEM() hpke.PublicKey { return b.kem }

// Verify says whether sig is the device's signature of msg under l.
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
	var seeds [64]byte
	copy(seeds[:32], signing[:])
	copy(seeds[32:], kem[:])
	return fromSeeds(seeds)
}

func fromSeeds(seeds [64]byte) (*Private, error) {
	kem, err := hpke.MLKEM768X25519().NewPrivateKey(seeds[32:])
	if err != nil {
		return nil, fmt.Errorf("make kem key: %w", err)
	}
	return &Private{seeds: seeds, signing: ed25519.NewKeyFromSeed(seeds[:32]), kem: kem}, nil
}

// Bundle is the public half.
func (p *Private) Bundle() Bundle {
	return Bundle{signing: p.signing.Public().(ed25519.PublicKey), kem: p.kem.PublicKey()}
}

// Sign signs msg under l.
func (p *Private) Sign(l label.Label, msg []byte) []byte { return label.Sign(p.signing, l, msg) }

// KEM is the private key that opens what is sealed to the bundle.
func (p *Private) KEM() hpke.PrivateKey { return p.kem }

const redacted = "identity(redacted)"

// LogValue implements slog.LogValuer; it says nothing of the key.
func (Private) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter for every verb; it says nothing of the key.
func (Private) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }
