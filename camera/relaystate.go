package camera

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	relaysFileName    = "relays.json"
	relaysFileVersion = 1
)

var (
	// errRelaysFile is returned for a damaged file of relays.
	errRelaysFile = errors.New("damaged file of relays")
	// errRelaysFileNewer is returned for a file of relays of a version that this program does not know.
	errRelaysFileNewer = errors.New("file of relays of a newer version: update this program")
)

// relayState is what a camera must not forget about its relays. Byte strings are in standard base64 on disk.
type relayState struct {
	Version  int           `json:"version"`
	Given    string        `json:"relay"`              // the one in the Config when the rest was learned
	Seed     []byte        `json:"seed"`               // [16]; the place seed
	Operator []byte        `json:"operator,omitempty"` // [32]; nil without a map
	Map      string        `json:"map,omitempty"`      // as the relay served it
	Home     string        `json:"home"`
	Standby  string        `json:"standby,omitempty"`
	Former   []formerRelay `json:"former,omitempty"`
}

// formerRelay is a relay that was home or standby, and stays open for those who do not know yet.
type formerRelay struct {
	URL     string    `json:"url"`
	Until   time.Time `json:"until"`
	Foreign bool      `json:"foreign,omitempty"` // another operator's; it does not get this one's ticket
}

func newPlaceSeed() []byte {
	seed := make([]byte, region.SeedSize)
	rand.Read(seed)
	return seed
}

// readRelayState reads the file. A camera that has none gets the zero state.
func readRelayState(path string) (relayState, error) {
	b, err := identity.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return relayState{}, nil
	}
	if err != nil {
		return relayState{}, err
	}
	return parseRelayState(b)
}

func parseRelayState(b []byte) (relayState, error) {
	var s relayState
	if err := json.Unmarshal(b, &s); err != nil {
		return relayState{}, fmt.Errorf("%w: %w", errRelaysFile, err)
	}
	if s.Version > relaysFileVersion {
		return relayState{}, errRelaysFileNewer
	}
	if s.Version != relaysFileVersion || len(s.Seed) != region.SeedSize || len(s.Former) > maxFormer ||
		s.Home == s.Standby {
		return relayState{}, errRelaysFile
	}
	for _, url := range append(s.open(), s.Given) {
		if err := relayurl.Check(url); err != nil {
			return relayState{}, fmt.Errorf("%w: %w", errRelaysFile, err)
		}
	}
	return s, nil
}

// write replaces the file.
func (s relayState) write(path string) error {
	s.Version = relaysFileVersion
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return identity.WriteFile(path, append(b, '\n'))
}

// given returns a state for the relay that the camera was given. One that was made for another relay belonged to
// another operator: what it says of regions is forgotten. Its relays are former ones, since viewers look there.
func (s relayState) given(url string, now time.Time) relayState {
	if len(s.Seed) != region.SeedSize {
		s.Seed = newPlaceSeed()
	}
	if s.Given == url && s.Home != "" {
		return s.settled(s.Home, s.Standby, now)
	}

	s.Given, s.Map, s.Operator = url, "", nil
	s = s.settled(url, "", now)
	for i := range s.Former {
		s.Former[i].Foreign = true
	}
	return s
}

// mapSources returns the URLs of the relays that may serve the operator's map, the best first: without a pinned key
// only the one that the camera was given.
func (s relayState) mapSources() []string {
	urls := []string{s.Given}
	for _, url := range []string{s.Home, s.Standby} {
		if s.Operator != nil && url != "" && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// isForeign reports whether a relay is another operator's than the one that the camera was given.
func (s relayState) isForeign(url string) bool {
	return slices.ContainsFunc(s.Former, func(f formerRelay) bool { return f.URL == url && f.Foreign })
}

// settled returns a state with these as home and standby. Those that were become former relays.
func (s relayState) settled(home, standby string, now time.Time) relayState {
	var former []formerRelay
	for _, url := range []string{s.Home, s.Standby} {
		if url != "" {
			former = append(former, formerRelay{URL: url, Until: now.Add(formerFor)})
		}
	}
	former = append(former, s.Former...)
	slices.SortStableFunc(former, func(a, b formerRelay) int { return cmp.Compare(b.Until.Unix(), a.Until.Unix()) })

	s.Home, s.Standby, s.Former = home, standby, nil
	for _, f := range former {
		if len(s.Former) < maxFormer && now.Before(f.Until) && !slices.Contains(s.open(), f.URL) {
			s.Former = append(s.Former, f)
		}
	}
	return s
}

// open returns the URLs of the relays at which the camera is, home first.
func (s relayState) open() []string {
	urls := []string{s.Home}
	if s.Standby != "" {
		urls = append(urls, s.Standby)
	}
	for _, f := range s.Former {
		urls = append(urls, f.URL)
	}
	return urls
}

// regions returns the regions where the camera may be, also those of a map that has expired; none without a map.
func (s relayState) regions(now time.Time) []region.Region {
	m, _ := region.Open([]byte(s.Map), s.Operator, now) // a map that has expired comes with an error
	return m.From(s.Given)
}
