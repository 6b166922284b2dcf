package handshake

import (
	"crypto/ed25519"
	"errors"
	"math"
	"strings"
)

const (
	// HostListKeys is how many keys a host list has: one a day.
	HostListKeys = 60
	// HostVersionSize is the size of a host list's version in bytes.
	HostVersionSize = 8

	maxCircuitRelays    = 8
	maxCircuitRelayText = 256
)

// ErrCircuitRelay is returned for circuit relays that a host list cannot name.
var ErrCircuitRelay = errors.New("want at most 8 multiaddresses of circuit relays, each of at most 256 characters, " +
	"such as /dns4/relay.example/udp/4001/quic-v1/p2p/ID")

// HostList is what a viewer needs to find its camera without the operator's relay: the public keys by which the camera
// goes on a local network and at circuit relays, one a day, and where those relays are. It travels sealed, in an answer
// (doc/protocol.md, section 6.6). Whoever has it can recognize the camera, so it is for the camera's viewers alone.
type HostList struct {
	Version Blob     `json:"version"` // [8]; says nothing to a viewer
	First   uint32   `json:"first"`   // the first key's day, as the camera counts them
	Keys    Blob     `json:"keys"`    // 60 Ed25519 public keys of 32 bytes, one behind the other
	Relays  []string `json:"relays,omitzero"`
}

// PublicKeys returns the keys of the list, the first day's first. A list that holds nothing has none.
func (l HostList) PublicKeys() []ed25519.PublicKey {
	keys := make([]ed25519.PublicKey, 0, HostListKeys)
	for at := 0; at+ed25519.PublicKeySize <= len(l.Keys); at += ed25519.PublicKeySize {
		keys = append(keys, ed25519.PublicKey(l.Keys[at:at+ed25519.PublicKeySize]))
	}
	return keys
}

// Valid reports whether a list is whole and within its bounds.
func (l HostList) Valid() bool {
	return len(l.Version) == HostVersionSize &&
		l.First <= math.MaxUint32-HostListKeys &&
		len(l.Keys) == HostListKeys*ed25519.PublicKeySize &&
		CheckCircuitRelays(l.Relays) == nil
}

// CheckCircuitRelays returns ErrCircuitRelay unless a host list can name these relays. It looks at their spelling
// alone: they must be printable ASCII without spaces, and begin with a slash.
func CheckCircuitRelays(relays []string) error {
	if len(relays) > maxCircuitRelays {
		return ErrCircuitRelay
	}
	for _, relay := range relays {
		foreign := func(r rune) bool { return r <= ' ' || r > '~' }
		if len(relay) > maxCircuitRelayText || !strings.HasPrefix(relay, "/") ||
			strings.ContainsFunc(relay, foreign) {
			return ErrCircuitRelay
		}
	}

	return nil
}
