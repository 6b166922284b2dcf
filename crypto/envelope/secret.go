package envelope

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// Secret is 256 secret bits. It has no printable form; Equal compares it in constant time.
type Secret [32]byte

const redacted = "secret(redacted)"

// LogValue implements slog.LogValuer; it says nothing of the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter for every verb; it says nothing of the secret.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// MarshalJSON refuses: a secret goes into a file by Encode and no other way.
func (Secret) MarshalJSON() ([]byte, error) { return nil, fmt.Errorf("encode secret: use Encode") }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s[:], o[:]) == 1 }

// Encode is the secret's base64url, for a private file.
func (s Secret) Encode() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// DecodeSecret reads what Encode wrote.
func DecodeSecret(text string) (Secret, error) {
	var s Secret
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(s) {
		return s, fmt.Errorf("decode secret: not 32 bytes of base64url")
	}
	if copy(s[:], b); s.Encode() != text { // line breaks, which base64 skips
		return Secret{}, fmt.Errorf("decode secret: not 32 bytes of base64url")
	}
	return s, nil
}
