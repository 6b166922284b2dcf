package handshake

import (
	"crypto/ed25519"
	"errors"
	"net/url"
	"slices"

	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling/region"
)

// RelayVersionSize is the size of a relay list's version in bytes.
const RelayVersionSize = 8

// RelayList tells a viewer at which relays its camera is (doc/protocol.md, section 5.10). It travels sealed.
type RelayList struct {
	Version  Blob   `json:"version"` // [8]; says nothing to a viewer
	Home     Place  `json:"home"`
	Standby  *Place `json:"standby,omitempty"` // nil if there is one relay alone
	Seed     Blob   `json:"seed"`              // [16]; gives the order in which regions are tried
	Operator Blob   `json:"operator,omitzero"` // [32]; the key that signs the map of regions; nil without a map

	// TURN has the camera's legs to the TURN servers of regions, region.MaxLegs at most; nil if there is no choice.
	TURN []region.Leg `json:"turn,omitempty"`
}

// Place is one of a camera's relays.
type Place struct {
	Name      string `json:"name,omitempty"` // the region's, if a map names it
	URL       string `json:"url"`
	RoundTrip int    `json:"round_trip"` // of the camera, in milliseconds, at most 10,000; 0 if unknown
}

// Region returns the name of the place's region, or the relay's host if no map names it.
func (p Place) Region() string {
	if p.Name != "" {
		return p.Name
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

func (p Place) valid() bool {
	return (p.Name == "" || region.IsName(p.Name)) && relayurl.Check(p.URL) == nil &&
		0 <= p.RoundTrip && p.RoundTrip <= region.MaxRoundTrip
}

// Places returns the list's relays, home first.
func (l RelayList) Places() []Place {
	if l.Standby == nil {
		return []Place{l.Home}
	}
	return []Place{l.Home, *l.Standby}
}

// Valid reports whether a list is whole and within its bounds.
func (l RelayList) Valid() bool {
	return len(l.Version) == RelayVersionSize && len(l.Seed) == region.SeedSize &&
		(len(l.Operator) == 0 || len(l.Operator) == ed25519.PublicKeySize) &&
		l.Home.valid() && (l.Standby == nil || l.Standby.valid() && l.Standby.URL != l.Home.URL) &&
		len(l.TURN) <= region.MaxLegs && !slices.ContainsFunc(l.TURN, func(leg region.Leg) bool { return !leg.Valid() })
}

// errLocalRelay is returned for a relay list that leads from the internet to this machine.
var errLocalRelay = errors.New("the camera names a relay on this machine, and was not paired at one")

// FitsPair returns nil for a list that may belong to a pair made at a relay: only the camera of a relay on this machine
// may name others on it.
func (l RelayList) FitsPair(relayURL string) error {
	if relayurl.Loopback(relayURL) {
		return nil
	}
	for _, p := range l.Places() {
		if relayurl.Loopback(p.URL) {
			return errLocalRelay
		}
	}
	return nil
}
