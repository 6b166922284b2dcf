package envelope

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// Secret is 256 secret bits. It has no printable form. Compare it with Equal, which takes constant time.
type Secret [32]byte

const redacted = "secret(redacted)"

// LogValue implements slog.LogValuer; it does not reveal the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter for every verb; it does not reveal the secret.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// MarshalJSON returns an error: only Encode writes a secret to a file.
func (Secret) MarshalJSON() ([]byte, error) { return nil, fmt.Errorf("encode secret: use Encode") }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s[:], o[:]) == 1 }

// Encode returns the secret in base64url, for a private file.
func (s Secret) Encode() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// DecodeSecret reads what Encode wrote.
func DecodeSecret(text string) (Secret, error) {
	b, _ := base64.RawURLEncoding.DecodeString(text)
	var s Secret
	if copy(s[:], b); s.Encode() != text { // also where it did not decode, or is of another length
		return Secret{}, fmt.Errorf("decode secret: not 32 bytes of base64url")
	}
	return s, nil
}
