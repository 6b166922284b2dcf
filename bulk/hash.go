package bulk

import (
	"encoding/base64"
	"fmt"
)

// Hash is a SHA-256 hash: of a certificate, or the root of an object. As text and in JSON it is base64url without
// padding (RFC 4648, section 5), 43 characters.
type Hash [32]byte

var hashText = base64.RawURLEncoding.Strict()

// IsZero reports whether h is the zero Hash, which means that there is none.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hashText.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Text of any other length is ErrMalformed.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hashText.EncodedLen(len(h)) {
		return fmt.Errorf("hash of %d characters: %w", len(text), ErrMalformed)
	}
	var got [len(h)]byte
	if n, err := hashText.Decode(got[:], text); err != nil || n != len(h) {
		return fmt.Errorf("hash is not base64url: %w", ErrMalformed)
	}
	*h = got
	return nil
}
