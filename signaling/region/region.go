package region

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/peephole-cam/peephole/relayurl"
)

// KeySize is the size of a region's public key in bytes (X25519).
const KeySize = 32

// maxName is the maximum length of a region's name, in bytes.
const maxName = 32

// Region is one region of an operator: the relays behind one URL.
type Region struct {
	Name string `json:"name" toml:"name"`           // 1 to 32 of a-z, 0-9 and "-"
	URL  string `json:"url" toml:"url"`             // the relay's, as devices dial it
	TURN string `json:"turn" toml:"turn"`           // host:port, over UDP and TCP
	STUN string `json:"stun,omitempty" toml:"stun"` // host:port; empty means TURN's

	// Key is the region's public key, as KeyText spells it. With it other regions grant access to its TURN server. ""
	// means that they grant none.
	Key string `json:"key,omitempty" toml:"key"`
}

func (r Region) validate() error {
	if !IsName(r.Name) {
		return fmt.Errorf("name %q: want 1 to %d of a-z, 0-9 and \"-\"", r.Name, maxName)
	}
	if err := checkURL(r.URL); err != nil {
		return fmt.Errorf("url of %q: %w", r.Name, err)
	}
	if !isHostPort(r.TURN) {
		return fmt.Errorf("turn %q of %q: want HOST:PORT, such as turn.example:3478 or [2001:db8::1]:3478", r.TURN,
			r.Name)
	}
	if r.STUN != "" && !isHostPort(r.STUN) {
		return fmt.Errorf("stun %q of %q: want HOST:PORT, such as stun.example:3479, or leave it out", r.STUN, r.Name)
	}
	if _, ok := decodeText(r.Key, KeySize); r.Key != "" && !ok {
		return fmt.Errorf("key of %q: want what relay regions key prints on a machine of that region", r.Name)
	}
	return nil
}

// PublicKey returns the region's public key, nil if the map names none.
func (r Region) PublicKey() []byte {
	key, ok := decodeText(r.Key, KeySize)
	if !ok {
		return nil
	}
	return key
}

var errNowhere = errors.New("want an address or a name that leads somewhere")

// checkURL returns an error for what is no relay URL in its one spelling, or names no host.
func checkURL(text string) error {
	if err := relayurl.Check(text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	if err != nil || relayurl.IsUnspecifiedHost(u.Hostname()) {
		return errNowhere
	}
	return nil
}

// IsName reports whether text can be the name of a region.
func IsName(text string) bool {
	return text != "" && len(text) <= maxName && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isHostPort reports whether text is a host that can be looked up and a port that can be dialed, in the one spelling
// that a relay URL has for them.
func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || net.JoinHostPort(host, strconv.FormatUint(n, 10)) != text {
		return false
	}
	return checkURL("https://"+strings.TrimSuffix(text, ":"+port)) == nil
}
