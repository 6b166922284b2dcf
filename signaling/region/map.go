package region

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/relayurl"
)

// Path is the path at which a relay serves its operator's map.
const Path = "/v1/regions"

// Bounds of a map.
const (
	MaxRegions = 256      // regions in a map
	MaxSize    = 64 << 10 // bytes of a signed map, with its line feed
)

var (
	// ErrMap is returned for anything that is not a signed map of this version.
	ErrMap = errors.New("not a signed map of regions")
	// ErrVersion is returned for a map of a newer version.
	ErrVersion = errors.New("the map of regions has a newer version")
	// ErrOperator is returned by Open for a map that this operator's key has not signed.
	ErrOperator = errors.New("the map of regions is not signed by this operator")
	// ErrChanged is returned by Read for a map whose signature is not of the key that it names.
	ErrChanged = errors.New("the map of regions is not what its key has signed")
	// ErrNone is returned by Fetch if the relay serves no map.
	ErrNone = errors.New("the relay serves no map of regions")
	// ErrExpired is returned together with an expired map. Its regions may still be tried.
	ErrExpired = errors.New("the map of regions has expired")
)

// The versions of maps: a map has the second if one of its regions has a key, and the first if none has.
const (
	versionWithoutKeys = 1
	versionWithKeys    = 2
)

// lastSecond is the last second of the year 9999, in Unix time.
const lastSecond = 253_402_300_799

// Map is an operator's list of regions.
type Map struct {
	Issued   time.Time // to the second; the map that was issued last counts
	NotAfter time.Time // to the second; until when it is valid
	Regions  []Region  // 1 to MaxRegions, whose names, URLs and keys are all different
}

// body is what is signed, as JSON.
type body struct {
	Version  int      `json:"v"`
	Issued   int64    `json:"issued"`    // Unix time, seconds
	NotAfter int64    `json:"not_after"` // Unix time, seconds
	Regions  []Region `json:"regions"`
}

// signed is a signed map on the wire. The map's text is a JSON string, so that exactly the signed bytes are verified.
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
	text, err := json.Marshal(body{m.version(), m.Issued.Unix(), m.NotAfter.Unix(), m.Regions})
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
	wire = append(wire, '\n')
	if len(wire) > MaxSize {
		return nil, fmt.Errorf("the map of regions has %d bytes, want %d at most: "+
			"remove regions, or shorten host names", len(wire), MaxSize)
	}
	return wire, nil
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

// Read opens a map without knowing the operator's key beforehand, for relays and for showing it. It verifies the map
// against the key in the map, which it returns, so it proves only that the map is unchanged. It returns ErrMap,
// ErrVersion or ErrChanged and nothing else, or ErrExpired and the map.
func Read(wire []byte, now time.Time) (Map, ed25519.PublicKey, error) {
	_, key, _, err := parse(wire)
	if err != nil {
		return Map{}, nil, err
	}
	m, err := Open(wire, key, now)
	switch {
	case errors.Is(err, ErrOperator):
		return Map{}, nil, ErrChanged
	case err != nil && !errors.Is(err, ErrExpired):
		return Map{}, nil, err
	}
	return m, key, err
}

func (m Map) version() int {
	if slices.ContainsFunc(m.Regions, func(r Region) bool { return r.Key != "" }) {
		return versionWithKeys
	}
	return versionWithoutKeys
}

// parse parses a signed map, and verifies nothing.
func parse(wire []byte) (text []byte, key ed25519.PublicKey, signature []byte, err error) {
	if len(wire) > MaxSize {
		return nil, nil, nil, fmt.Errorf("%w: more than %d bytes", ErrMap, MaxSize)
	}
	var s signed
	line, ended := bytes.CutSuffix(wire, []byte("\n"))
	if !ended {
		return nil, nil, nil, fmt.Errorf("%w: its line does not end", ErrMap)
	}
	if err := decode(line, &s); err != nil {
		return nil, nil, nil, err
	}
	k, okKey := decodeText(s.Key, ed25519.PublicKeySize)
	sig, okSig := decodeText(s.Signature, ed25519.SignatureSize)
	if !okKey || !okSig {
		return nil, nil, nil, fmt.Errorf("%w: no key, or no signature", ErrMap)
	}
	return []byte(s.Map), k, sig, nil
}

// parseBody parses what has been signed. It checks the version first, since another version may have other fields.
func parseBody(text []byte) (Map, error) {
	var v struct {
		Version int `json:"v"`
	}
	if json.Unmarshal(text, &v) == nil && v.Version > versionWithKeys {
		return Map{}, ErrVersion
	}

	var b body
	if err := decode(text, &b); err != nil {
		return Map{}, err
	}
	m := Map{Issued: time.Unix(b.Issued, 0).UTC(), NotAfter: time.Unix(b.NotAfter, 0).UTC(), Regions: b.Regions}
	if b.Version != m.version() {
		return Map{}, fmt.Errorf("%w: version %d", ErrMap, b.Version)
	}
	if err := m.Validate(); err != nil {
		return Map{}, fmt.Errorf("%w: %w", ErrMap, err)
	}
	return m, nil
}

// From returns the regions that a device may use which knows their operator by a relay: none on the device's own
// machine, unless that relay is there too.
func (m Map) From(relayURL string) (regions []Region) {
	own := relayurl.Loopback(relayURL)
	for _, r := range m.Regions {
		if own || !relayurl.Loopback(r.URL) && !isLoopback(r.TURN) && !isLoopback(r.STUN) {
			regions = append(regions, r)
		}
	}
	return regions
}

func isLoopback(hostport string) bool { return relayurl.Loopback("https://" + hostport) }

// Validate returns an error that says what of the map is wrong.
func (m Map) Validate() error {
	switch {
	case len(m.Regions) == 0:
		return errors.New("no regions: add a [[region]] table for each region")
	case len(m.Regions) > MaxRegions:
		return fmt.Errorf("%d regions: want %d at most", len(m.Regions), MaxRegions)
	case m.Issued.Unix() < 0 || m.NotAfter.Unix() > lastSecond:
		return errors.New("want times from 1970 to 9999")
	case m.Issued.Unix() >= m.NotAfter.Unix():
		return errors.New("want it to expire after it is issued")
	}

	names, urls, keys := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for i, r := range m.Regions {
		if err := r.validate(); err != nil {
			return fmt.Errorf("region %d: %w", i+1, err)
		}
		if names[r.Name] {
			return fmt.Errorf("region %d: the name %q is used twice", i+1, r.Name)
		}
		if urls[r.URL] {
			return fmt.Errorf("region %d: the url %s is used twice", i+1, r.URL)
		}
		if keys[r.Key] && r.Key != "" {
			return fmt.Errorf("region %d: the key of %q is used twice: run relay regions key in each region", i+1,
				r.Name)
		}
		names[r.Name], urls[r.URL], keys[r.Key] = true, true, true
	}
	return nil
}

// decode parses JSON in the one spelling that json.Marshal gives it. Otherwise two readers could understand one text
// differently: encoding/json takes "URL" for "url", and parsers differ about which of two equal names counts.
func decode(text []byte, to any) error {
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%w: %w", ErrMap, err)
	}
	again, err := json.Marshal(to)
	if err != nil || !bytes.Equal(again, text) {
		return fmt.Errorf("%w: not in its one spelling", ErrMap)
	}
	return nil
}

// KeyText returns a public key, an operator's or a region's, as people pass it on: Base64url without padding.
func KeyText(public []byte) string { return encode(public) }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// decodeText decodes size bytes in their canonical spelling.
func decodeText(text string, size int) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return b, err == nil && len(b) == size && encode(b) == text
}
