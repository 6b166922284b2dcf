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
	// ErrKeyFile is returned for a damaged key file, or for one that is no key file.
	ErrKeyFile = errors.New("damaged key file, or none of Peephole's: restore it from a backup, or move it away " +
		"to start as a new device")
	// ErrKeyFileNewer is returned for a key file of a version this program does not know.
	ErrKeyFileNewer = errors.New("key file of a newer version: update this program")
)

// LoadOrCreate reads the identity in dir, or makes one. It never replaces an existing file, even if that is damaged, or
// was written by another process at the same moment.
func LoadOrCreate(dir string) (*Private, error) {
	p, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if p, err = Generate(); err != nil {
		return nil, err
	}

	switch err := createFile(filepath.Join(dir, fileName), []byte(spell(p.seeds))); {
	case err == nil:
		return p, nil
	case errors.Is(err, fs.ErrExist):
		return Load(dir)
	default:
		return nil, fmt.Errorf("write key file: %w", err)
	}
}

// Load reads the identity in dir. If there is none, the error is fs.ErrNotExist.
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
	rest, ours := strings.CutPrefix(text, filePrefix)
	version, encoded, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(version); ours && err == nil && n > 1 {
		return seeds, ErrKeyFileNewer
	}

	raw, _ := base64.RawURLEncoding.DecodeString(encoded)
	if copy(seeds[:], raw); text != spell(seeds) { // foreign, truncated, or spelled another way
		return [64]byte{}, ErrKeyFile
	}
	return seeds, nil
}

// spell returns the content of a key file.
func spell(seeds [64]byte) string {
	return filePrefix + fileVersion + " " + base64.RawURLEncoding.EncodeToString(seeds[:]) + "\n"
}
