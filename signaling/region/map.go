package region

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peephole-cam/peephole/crypto/label"
)

// Path is the path at which a relay serves its operator's map.
const Path = "/v1/regions"

// Bounds of a map.
const (
	MaxRegions = 256      // regions in a map
	MaxSize    = 64 << 10 // bytes of a signed map
)

var (
	// ErrMap is returned for what is no signed map of this version.
	ErrMap = errors.New("not a signed map of regions")
	// ErrVersion is returned for a map of a newer version.
	ErrVersion = errors.New("map of regions of a newer version: update this program")
	// ErrOperator is returned for a map that another operator's key has signed, or nobody's.
	ErrOperator = errors.New("the map of regions is not signed by this operator")
	// ErrChanged is returned by Read for a map that is not what the key in it has signed.
	ErrChanged = errors.New("the map of regions was changed after it was signed: sign it again")
	// ErrExpired is returned beside a map that has expired. Its regions may still be tried.
	ErrExpired = errors.New("the map of regions has expired: sign a new one")
)

const version = 1

// Map is an operator's list of regions.
type Map struct {
	Issued   time.Time // to the second; of two maps, the one issued later counts
	NotAfter time.Time // to the second; until when it is valid
	Regions  []Region  // 1 to MaxRegions, whose names and URLs are all different
}

// body is what is signed, as JSON.
type body struct {
	Version  int      `json:"v"`
	Issued   int64    `json:"issued"`    // Unix time, seconds
	NotAfter int64    `json:"not_after"` // Unix time, seconds
	Regions  []Region `json:"regions"`
}

// signed is a signed map on the wire. The text of the map is a string in it, so that what is verified is, byte by byte,
// what was signed.
type signed struct {
	Map       string `json:"map"`
	Key       string `json:"key"`       // of the operator, Base64url without padding
	Signature string `json:"signature"` // likewise
}

// Sign returns the map in the form in which relays serve it: one line of JSON. The error says what of the map is wrong.
func (m Map) Sign(operator ed25519.PrivateKey) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(body{version, m.Issued.Unix(), m.NotAfter.Unix(), m.Regions})
	if err != nil {
		return nil, fmt.Errorf("encode map of regions: %w", err)
	}

	wire, err := json.Marshal(signed{
		Map:       string(text),
		Key:       encode(operator.Public().(ed25519.PublicKey)),
		Signature: encode(label.Sign(operator, label.RegionMap, text)),
	})
	if err != nil {
		return nil, fmt.Errorf("encode map of regions: %w", err)
	}
	if len(wire) > MaxSize {
		return nil, fmt.Errorf("the map of regions has %d bytes: want %d at most", len(wire), MaxSize)
	}
	return append(wire, '\n'), nil
}

// Open verifies a signed map against the operator's key, and returns it. It returns ErrMap, ErrVersion or ErrOperator
// and no map, or ErrExpired and the map that has expired at the time now.
func Open(wire []byte, operator ed25519.PublicKey, now time.Time) (Map, error) {
	text, key, signature, err := parse(wire)
	if err != nil {
		return Map{}, err
	}
	if !key.Equal(operator) || !label.Verify(operator, label.RegionMap, text, signature) {
		return Map{}, ErrOperator
	}

	m, err := parseBody(text)
	if err == nil && now.After(m.NotAfter) {
		return m, ErrExpired
	}
	return m, err
}

// Read is Open for those who know no key: an operator's own relays, and people. It returns the key that the map names
// itself, and ErrChanged instead of ErrOperator.
func Read(wire []byte, now time.Time) (Map, ed25519.PublicKey, error) {
	_, key, _, err := parse(wire)
	if err != nil {
		return Map{}, nil, err
	}
	m, err := Open(wire, key, now)
	if errors.Is(err, ErrOperator) {
		return Map{}, nil, ErrChanged
	}
	return m, key, err
}

func parse(wire []byte) (text []byte, key ed25519.PublicKey, signature []byte, err error) {
	var s signed
	if len(wire) > MaxSize+1 { // and its line feed
		return nil, nil, nil, fmt.Errorf("%w: %d bytes", ErrMap, len(wire))
	}
	if err := decode(wire, &s); err != nil {
		return nil, nil, nil, err
	}
	k, okKey := decodeText(s.Key, ed25519.PublicKeySize)
	sig, okSig := decodeText(s.Signature, ed25519.SignatureSize)
	if !okKey || !okSig {
		return nil, nil, nil, fmt.Errorf("%w: no key, or no signature", ErrMap)
	}
	return []byte(s.Map), k, sig, nil
}

// parseBody parses what has been signed. Its version comes first: another one may have other fields.
func parseBody(text []byte) (Map, error) {
	var v struct {
		Version int `json:"v"`
	}
	if json.Unmarshal(text, &v) == nil && v.Version > version {
		return Map{}, ErrVersion
	}

	var b body
	if err := decode(text, &b); err != nil {
		return Map{}, err
	}
	m := Map{Issued: time.Unix(b.Issued, 0).UTC(), NotAfter: time.Unix(b.NotAfter, 0).UTC(), Regions: b.Regions}
	if b.Version != version {
		return Map{}, fmt.Errorf("%w: version %d", ErrMap, b.Version)
	}
	if err := m.Validate(); err != nil {
		return Map{}, fmt.Errorf("%w: %w", ErrMap, err)
	}
	return m, nil
}

// Validate returns an error that says what of the map is wrong.
func (m Map) Validate() error {
	switch {
	case len(m.Regions) == 0 || len(m.Regions) > MaxRegions:
		return fmt.Errorf("%d regions: want 1 to %d", len(m.Regions), MaxRegions)
	case m.Issued.Unix() < 0 || m.NotAfter.Year() > 9999:
		return errors.New("want times from 1970 to 9999")
	case !m.NotAfter.After(m.Issued):
		return errors.New("want a time of expiry after that of issue")
	}

	names, urls := make(map[string]bool), make(map[string]bool)
	for i, r := range m.Regions {
		if err := r.validate(); err != nil {
			return fmt.Errorf("region %d: %w", i+1, err)
		}
		if names[r.Name] || urls[r.URL] {
			return fmt.Errorf("region %d: %q or its URL is there twice", i+1, r.Name)
		}
		names[r.Name], urls[r.URL] = true, true
	}
	return nil
}

// decode parses one JSON object without unknown fields, and nothing after it.
func decode(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%w: %w", ErrMap, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows it", ErrMap)
	}
	return nil
}

// KeyText returns an operator's key as people pass it on: Base64url without padding.
func KeyText(operator ed25519.PublicKey) string { return encode(operator) }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// decodeText decodes size bytes in their canonical spelling.
func decodeText(text string, size int) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return b, err == nil && len(b) == size && encode(b) == text
}
