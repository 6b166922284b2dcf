package pairing

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/relayurl"
)

// What is wrong with a code or a pairing, in words for a person.
var (
	ErrForeign = errors.New("this is not a Peephole pairing code")
	ErrTorn    = errors.New("this code is damaged or incomplete: scan it again, or copy the whole link")
	ErrNewer   = errors.New("this code is from a newer Peephole: update this app")
	ErrExpired = errors.New("this code has expired: show a new one on the other device")
	ErrUsed    = errors.New("this code has already been used: show a new one on the other device")
	ErrBound   = errors.New("another device is pairing with this code: if that is not you, show a new one on the " +
		"other device")
	ErrClosed  = errors.New("the other device is not in its set-up window: open it there and show a new code")
	ErrUnsaved = errors.New("the other device could not save the pair: its disk is full or read-only; mend that, " +
		"and scan its new code")
	ErrNobody = errors.New("no device is waiting at this code: it was used, has expired, or the device " +
		"restarted; show a new one")
	ErrInvalid = errors.New("pairing message does not verify: the relay or another device interfered; show a new code")
	// ErrStrange is an ErrInvalid for a message that nobody with this code has sent: it is the relay's doing. Any other
	// invalid message may have an innocent cause: two scanners can read one code, and a message to one does not open at
	// the other.
	ErrStrange error = strange{ErrInvalid}
)

// strange shows a person the same words as the error in it.
type strange struct{ error }

func (s strange) Unwrap() error { return s.error }

const (
	codeVersion  = 1
	secretSize   = 16
	payloadSize  = 1 + 1 + 32 + secretSize + 4 + checksumSize
	checksumSize = 4
	// MaxCode is the length of the longest code in characters: any camera can read its QR code.
	MaxCode = 300
	path    = "/pair#"
)

// Code is the content of the QR code. It holds the pairing secret and must not be logged.
type Code struct {
	RelayURL    string
	Role        identity.Role // the displayer's
	Fingerprint identity.Fingerprint
	Expiry      time.Time // to the second; a hint for the scanner's message only

	secret [secretSize]byte
}

// NewCode makes a code with a fresh secret for a displayer.
func NewCode(relayURL string, role identity.Role, displayer identity.Bundle, expiry time.Time) (Code, error) {
	normal, err := relayurl.Normalize(relayURL)
	if err != nil {
		return Code{}, fmt.Errorf("read relay URL: %w", err)
	}
	c := Code{RelayURL: normal, Role: role, Fingerprint: displayer.Fingerprint(), Expiry: expiry.Truncate(time.Second)}
	rand.Read(c.secret[:])
	if n := len(c.URI()); n > MaxCode {
		return Code{}, fmt.Errorf("make pairing code: relay URL too long: the code would have %d characters, at "+
			"most %d", n, MaxCode)
	}
	return c, nil
}

// URI returns the code as text, for a QR code or a link.
func (c Code) URI() string {
	return c.RelayURL + path + base64.RawURLEncoding.EncodeToString(c.payload())
}

func (c Code) payload() []byte {
	b := []byte{codeVersion, byte(c.Role)}
	b = append(b, c.Fingerprint[:]...)
	b = append(b, c.secret[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Expiry.Unix()))
	return append(b, checksum(c.RelayURL, b)...)
}

func checksum(relayURL string, body []byte) []byte {
	h := label.Hash(label.QRChecksum, []byte(relayURL), []byte{0}, body)
	return h[:checksumSize]
}

// Parse reads a code from the text of a QR code or a pasted link. Errors: ErrForeign, ErrTorn, ErrNewer. It does not
// judge whether the code has expired: the caller may, once nobody has answered, since this device's clock may be wrong.
func Parse(text string) (Code, error) {
	text = strings.TrimSpace(text)
	relay, encoded, ok := strings.Cut(text, path)
	if !ok {
		if strings.HasPrefix(text, "http") && strings.Contains(text, "/pair") {
			return Code{}, ErrTorn
		}
		return Code{}, ErrForeign
	}

	if len(text) > MaxCode {
		return Code{}, ErrForeign
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) == 0 {
		return Code{}, ErrTorn
	}
	if b[0] > codeVersion {
		return Code{}, ErrNewer
	}
	if len(b) != payloadSize || b[0] != codeVersion || !identity.Role(b[1]).Valid() {
		return Code{}, ErrTorn
	}

	if relayurl.Check(relay) != nil {
		return Code{}, ErrTorn
	}
	c := Code{RelayURL: relay, Role: identity.Role(b[1]), Expiry: time.Unix(int64(binary.BigEndian.Uint32(b[50:])), 0)}
	copy(c.Fingerprint[:], b[2:])
	copy(c.secret[:], b[34:])
	if c.URI() != text { // the checksum is wrong, or base64 skipped characters
		return Code{}, ErrTorn
	}
	return c, nil
}

// Format implements fmt.Formatter for every verb: a code holds a secret, so it prints its relay alone.
func (c Code) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pairing code for %s", c.RelayURL) }
