package viewer

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/region"
)

// relayLists is the directory of the relay lists.
const relayLists besidePairs = "relays"

const relayListFileVersion = 1

// mapLife is how old a map of regions becomes before it is fetched again.
const mapLife = 24 * time.Hour

var (
	// errRelayListFile is returned for a damaged file of a camera's relays.
	errRelayListFile = errors.New("damaged file of a camera's relays")
	// errRelayListFileNewer is returned for such a file of a version that this program does not know.
	errRelayListFileNewer = errors.New("file of a camera's relays of a newer version: update this program")
)

// knownRelays is what a viewer knows of where its camera is.
type knownRelays struct {
	List    session.RelayList `json:"list"`
	Map     string            `json:"map,omitempty"` // of the operator's regions, as a relay served it
	Fetched time.Time         `json:"fetched,omitzero"`
}

// relayListFile is what a viewer knows of a camera's relays, as its file spells it.
type relayListFile struct {
	Version int `json:"version"`
	knownRelays
}

// parseRelayList reads a file of a camera's relays.
func parseRelayList(b []byte) (knownRelays, error) {
	var f relayListFile
	if err := json.Unmarshal(b, &f); err != nil {
		return knownRelays{}, fmt.Errorf("%w: %w", errRelayListFile, err)
	}
	if f.Version > relayListFileVersion {
		return knownRelays{}, errRelayListFileNewer
	}
	if f.Version != relayListFileVersion || !f.List.Valid() {
		return knownRelays{}, errRelayListFile
	}
	return f.knownRelays, nil
}

// relaysOf returns what the viewer knows of a camera's relays: before the camera has told, the one where it was paired.
func (v *Viewer) relaysOf(r pairing.Record) knownRelays {
	b, err := identity.ReadFile(relayLists.path(v, r.Pair.Peer.Fingerprint()))
	var known knownRelays
	if err == nil {
		known, err = parseRelayList(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.cfg.Logger.Warn("a camera's relays cannot be read: they come anew with its next session", "camera", r.Name,
			"err", err)
	}
	if err != nil || known.List.FitsPair(r.RelayURL) != nil {
		return knownRelays{List: session.RelayList{Home: session.Place{URL: r.RelayURL}}}
	}
	return known
}

// version returns the version of the list for an offer, zeros if there is none.
func (k knownRelays) version() []byte {
	if len(k.List.Version) == 0 {
		return make([]byte, session.RelayVersionSize)
	}
	return k.List.Version
}

// keepRelayList writes down the list that a camera has sent. The map stays if it may be the same operator's.
func (v *Viewer) keepRelayList(r pairing.Record, list session.RelayList) {
	if err := list.FitsPair(r.RelayURL); err != nil {
		v.cfg.Logger.Warn("the camera's list of relays is not used", "camera", r.Name, "err", err)
		return
	}
	v.changeRelays(r, func(known *knownRelays) {
		if string(known.List.Operator) != string(list.Operator) {
			known.Map = ""
		}
		known.List, known.Fetched = list, time.Time{}
	})
}

// changeRelays changes what is on disk of a camera's relays, unless that camera is being forgotten.
func (v *Viewer) changeRelays(r pairing.Record, change func(*knownRelays)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isPaired(r) {
		return
	}
	known := v.relaysOf(r)
	change(&known)
	b, err := json.MarshalIndent(relayListFile{relayListFileVersion, known}, "", "  ")
	if err == nil {
		err = identity.WriteFile(relayLists.path(v, r.Pair.Peer.Fingerprint()), append(b, '\n'))
	}
	if err != nil {
		v.cfg.Logger.Warn("a camera's relays cannot be kept on disk: make room there, or make it writable. Until then "+
			"it is not found while its home relay is down", "camera", r.Name, "err", err)
	}
}

// refreshMap fetches the operator's map from the camera's home, if that is due. A relay that serves none, or a wrong
// one, changes nothing.
func (v *Viewer) refreshMap(ctx context.Context, r pairing.Record) {
	known := v.relaysOf(r)
	now := v.clock.Now()
	if len(known.List.Operator) == 0 || known.Fetched.After(now.Add(-mapLife)) && !known.Fetched.After(now) {
		return
	}

	client := region.NewClient(v.cfg.TLS)
	defer client.Close()
	wire, err := client.Fetch(ctx, known.List.Home.URL)
	if err == nil {
		operator := ed25519.PublicKey(known.List.Operator)
		wire, _, err = region.Update([]byte(known.Map), wire, operator, now)
	}
	if err != nil {
		v.cfg.Logger.Debug("map of regions", "camera", r.Name, "err", err)
		return
	}
	operator := string(known.List.Operator)
	v.changeRelays(r, func(known *knownRelays) {
		if string(known.List.Operator) == operator { // a list may have come meanwhile
			known.Map, known.Fetched = string(wire), now
		}
	})
}

// places returns where the camera may be: at the relays that it has named, home first, and then in the other regions of
// the map, in its order. The camera was paired at relayURL.
func (k knownRelays) places(relayURL string, now time.Time) (named, more []session.Place) {
	for _, g := range region.PlaceOrder(k.List.Seed, k.regions(relayURL, now)) {
		more = append(more, session.Place{Name: g.Name, URL: g.URL})
	}
	return k.List.Places(), more
}

// regions returns the regions of the map, even if it has expired.
func (k knownRelays) regions(relayURL string, now time.Time) []region.Region {
	m, _ := region.Open([]byte(k.Map), ed25519.PublicKey(k.List.Operator), now)
	return m.From(relayURL)
}

// turn returns the camera's legs to the TURN servers of regions, and these regions.
func (k knownRelays) turn(relayURL string, now time.Time) (legs []region.Leg, regions []region.Region) {
	if len(k.List.TURN) == 0 {
		return nil, nil
	}
	for _, g := range k.regions(relayURL, now) {
		i := slices.IndexFunc(k.List.TURN, func(leg region.Leg) bool { return leg.Name == g.Name })
		if i >= 0 && g.Key != "" {
			legs, regions = append(legs, k.List.TURN[i]), append(regions, g)
		}
	}
	return legs, regions
}
