package camera

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	URL   string    `json:"url"`
	Until time.Time `json:"until"`
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

// save writes the state if it has changed. It says once in the log that it could not.
func (r *relays) save() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unsaved {
		return
	}
	s := r.state
	s.Version = relaysFileVersion
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = identity.WriteFile(r.path, append(b, '\n'))
	}
	if r.unsaved = err != nil; err != nil {
		r.camera.cfg.Logger.Warn("the camera's relays cannot be kept on disk: make room there, or make it writable. "+
			"Until then a restart forgets them", "err", err)
	}
}
