package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	fileName    = "identity.key"
	filePrefix  = "peephole-identity-"
	fileVersion = "1"
)

var (
	// ErrKeyFile is returned for a key file that is torn or is no key file.
	ErrKeyFile = errors.New("damaged key file, or none of Peephole's: restore it from a backup, or move it away to start as a new device")
	// ErrKeyFileNewer is returned for a key file of a version this program does not know.
	ErrKeyFileNewer = errors.New("key file of a newer version: update this program")
)

// LoadOrCreate reads the identity kept in dir, or makes one there. It never replaces a file that is there, be it damaged or
// written by another process at the same moment.
func LoadOrCreate(dir string) (*Private, error) {
	p, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if p, err = Generate(); err != nil {
		return nil, err
	}
	text := filePrefix + fileVersion + " " + base64.RawURLEncoding.EncodeToString(p.seeds[:]) + "\n"
	err = createFile(filepath.Join(dir, fileName), []byte(text))
	if errors.Is(err, fs.ErrExist) {
		return Load(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("write key file: %w", err)
	}
	return p, nil
}

// Load reads the identity kept in dir. A missing file is fs.ErrNotExist.
func Load(dir string) (*Private, error) {
	path := filepath.Join(dir, fileName)
	text, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	seeds, err := parseFile(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return fromSeeds(seeds)
}

func parseFile(text string) (seeds [64]byte, err error) {
	rest, ok := strings.CutPrefix(text, filePrefix)
	if !ok {
		return seeds, ErrKeyFile
	}
	version, encoded, ok := strings.Cut(rest, " ")
	if n, err := strconv.ParseUint(version, 10, 16); !ok || err != nil {
		return seeds, ErrKeyFile
	} else if n > 1 {
		return seeds, ErrKeyFileNewer
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(raw) != len(seeds) {
		return seeds, ErrKeyFile
	}
	copy(seeds[:], raw)
	if text != filePrefix+fileVersion+" "+base64.RawURLEncoding.EncodeToString(raw)+"\n" { // cut short, or spelled otherwise
		return [64]byte{}, ErrKeyFile
	}
	return seeds, nil
}
