package camera

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

const (
	hostsFileName    = "lan.json"
	hostsFileVersion = 1
)

var (
	// errHostsFile is returned for a damaged file of host seeds.
	errHostsFile = errors.New("damaged file of LAN keys")
	// errHostsFileNewer is returned for a file of host seeds of a version that this program does not know.
	errHostsFileNewer = errors.New("file of LAN keys of a newer version: update this program")
)

// hostState is what a camera must not forget about its host keys.
type hostState struct {
	seed    hostSeed
	since   time.Time
	holders []Fingerprint // the viewers to which a list made of seed went out
	earlier []earlierSeed // the newest first
}

// earlierSeed is a seed from before a viewer was removed. Its names are announced until all who hold its list are known
// to hold a newer one.
type earlierSeed struct {
	seed    hostSeed
	until   time.Time // its end, whoever still waits
	waiting []Fingerprint
}

// hostsFile is a hostState as its file spells it.
type hostsFile struct {
	Version int           `json:"version"`
	Seed    string        `json:"seed"`
	Since   time.Time     `json:"since"`
	Holders []string      `json:"holders"`
	Earlier []earlierFile `json:"earlier"`
}

type earlierFile struct {
	Seed    string    `json:"seed"`
	Until   time.Time `json:"until"`
	Waiting []string  `json:"waiting"`
}

// encode returns a state as its file spells it.
func (s hostState) encode() ([]byte, error) {
	f := hostsFile{
		Version: hostsFileVersion,
		Seed:    s.seed.Encode(),
		Since:   s.since.UTC().Truncate(time.Millisecond),
		Holders: spellViewers(s.holders),
		Earlier: []earlierFile{},
	}

	for _, e := range s.earlier {
		f.Earlier = append(f.Earlier, earlierFile{
			Seed:    e.seed.Encode(),
			Until:   e.until.UTC().Truncate(time.Millisecond),
			Waiting: spellViewers(e.waiting),
		})
	}

	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode LAN keys: %w", err)
	}
	return append(b, '\n'), nil
}

// readHostState reads what encode wrote. A missing file is fs.ErrNotExist.
func readHostState(path string) (hostState, error) {
	b, err := identity.ReadFile(path)
	if err != nil {
		return hostState{}, fmt.Errorf("read LAN keys: %w", err)
	}
	s, err := parseHostState(b)
	if err != nil {
		return hostState{}, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

func parseHostState(b []byte) (hostState, error) {
	var dated struct {
		Version int `json:"version"` // comes first: whatever else a newer version has may be of another type
	}
	if json.Unmarshal(b, &dated) == nil && dated.Version > hostsFileVersion {
		return hostState{}, errHostsFileNewer
	}
	var f hostsFile
	if err := json.Unmarshal(b, &f); err != nil {
		return hostState{}, fmt.Errorf("%w: %w", errHostsFile, err)
	}

	if f.Version != hostsFileVersion || len(f.Earlier) > maxEarlierSeeds {
		return hostState{}, errHostsFile
	}

	seed, err1 := envelope.DecodeSecret(f.Seed)
	holders, err2 := parseViewers(f.Holders)
	s := hostState{seed: hostSeed{seed}, since: f.Since, holders: holders}
	err := errors.Join(err1, err2, checkSpellable(f.Since))
	for _, e := range f.Earlier {
		seed, err1 := envelope.DecodeSecret(e.Seed)
		waiting, err2 := parseViewers(e.Waiting)
		s.earlier = append(s.earlier, earlierSeed{hostSeed{seed}, e.Until, waiting})
		err = errors.Join(err, err1, err2, checkSpellable(e.Until))
	}

	if err != nil {
		return hostState{}, fmt.Errorf("%w: %w", errHostsFile, err)
	}
	return s, nil
}

// checkSpellable returns an error for a time that could be read, but not written: in UTC it is of a year that JSON's
// times do not have.
func checkSpellable(t time.Time) error {
	_, err := t.UTC().MarshalText()
	return err
}

func spellViewers(viewers []Fingerprint) []string {
	out := make([]string, 0, len(viewers))
	for _, v := range viewers {
		out = append(out, v.String())
	}
	return out
}

// maxHolders bounds how many viewers one seed of a file may name: a full roster, and as many again who were removed
// while the camera was off.
const maxHolders = 2 * MaxViewers

func parseViewers(texts []string) ([]Fingerprint, error) {
	if len(texts) > maxHolders {
		return nil, errHostsFile
	}
	viewers := make([]Fingerprint, 0, len(texts))
	for _, text := range texts {
		var v Fingerprint
		b, _ := hex.DecodeString(text)
		if copy(v[:], b); v.String() != text { // also where it did not decode, or is of another length
			return nil, errHostsFile
		}
		viewers = append(viewers, v)
	}

	return viewers, nil
}
