package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	fileName    = "identity.key"
	filePrefix  = "peephole-identity-"
	fileVersion = "1"
)

var (
	// ErrKeyFile is returned for a key file that is torn or is no key file.
	ErrKeyFile = errors.New("damaged key file: restore it from a backup, or move it away to start as a new device")
	// ErrKeyFileNewer is returned for a key file of a version this program does not know.
	ErrKeyFileNewer = errors.New("key file of a newer version: update this program")
	// ErrKeyFileMode is returned for a key file that others on the machine could read.
	ErrKeyFileMode = errors.New("key file is readable by others: run chmod 600 on it")
)

// LoadOrCreate reads the identity kept in dir, or makes one there. It never replaces a file that is there.
func LoadOrCreate(dir string) (*Private, error) {
	p, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if p, err = Generate(); err != nil {
		return nil, err
	}
	text := filePrefix + fileVersion + " " + base64.RawURLEncoding.EncodeToString(p.seeds[:]) + "\n"
	if err := WriteFile(filepath.Join(dir, fileName), []byte(text)); err != nil {
		return nil, fmt.Errorf("write key file: %w", err)
	}
	return p, nil
}

// Load reads the identity kept in dir. A missing file is fs.ErrNotExist.
func Load(dir string) (*Private, error) {
	path := filepath.Join(dir, fileName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read %s: %w", path, ErrKeyFileMode)
	}
	text, err := os.ReadFile(path)
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
	version, rest, ok := strings.Cut(rest, " ")
	if !ok {
		return seeds, ErrKeyFile
	}
	if version != fileVersion {
		return seeds, ErrKeyFileNewer
	}
	rest, ok = strings.CutSuffix(rest, "\n")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(raw) != len(seeds) {
		return seeds, ErrKeyFile
	}
	copy(seeds[:], raw)
	return seeds, nil
}

// WriteFile writes a private file whole or not at all: a temporary file of mode 0600 beside it, synced, then renamed, in a
// directory of mode 0700. When the disk is full the old file stays as it was.
func WriteFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
