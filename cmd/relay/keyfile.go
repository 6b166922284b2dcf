package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// keyFile is a file of the state folder that holds a key: an Ed25519 key, or another one made from its seed.
type keyFile struct {
	file   string
	prefix string // begins its one line
	name   string // what a person calls the key
	loss   string // what removing the file would cost
}

var (
	operatorKeyFile = keyFile{
		file:   "operator.key",
		prefix: "peephole-operator-1 ",
		name:   "operator key",
		loss:   "removing it makes every ticket void, and devices will refuse your maps of regions",
	}
	regionKeyFile = keyFile{
		file:   "region.key",
		prefix: "peephole-region-1 ",
		name:   "region key",
		loss:   "a new one must be put into your map of regions before other regions can grant TURN here",
	}
	hostKeyFile = keyFile{
		file:   "p2p.key",
		prefix: "peephole-p2p-1 ",
		name:   "p2p key",
		loss:   "removing it changes the relay's -p2p multiaddress, which cameras must be told again",
	}
)

// operatorKey reads the key that signs tickets, or makes one.
func operatorKey(dir string) (ed25519.PrivateKey, error) { return operatorKeyFile.load(dir) }

// hostKey reads the key by which cameras know the -p2p circuit relay, or makes one.
func hostKey(dir string) (ed25519.PrivateKey, error) { return hostKeyFile.load(dir) }

// load reads the key, or makes one.
func (f keyFile) load(dir string) (ed25519.PrivateKey, error) {
	key, err := f.read(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = newKey()
	if err := f.write(dir, key); err != nil {
		return nil, err
	}
	return key, nil
}

func newKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return ed25519.NewKeyFromSeed(seed)
}

// write writes a key that was not there.
func (f keyFile) write(dir string, key ed25519.PrivateKey) error {
	text := []byte(f.prefix + base64.RawURLEncoding.EncodeToString(key.Seed()) + "\n")
	if err := identity.WriteFile(filepath.Join(dir, f.file), text); err != nil {
		return fmt.Errorf("write %s: %w; give another folder with -state", f.name, err)
	}
	return nil
}

// read reads the key. The error is fs.ErrNotExist if there is none.
func (f keyFile) read(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, f.file)
	text, err := identity.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	key, ok := f.parse(string(text))
	if !ok {
		return nil, fmt.Errorf("damaged %s %s: restore it from a backup; %s", f.name, path, f.loss)
	}
	return key, nil
}

// parse parses a key file, which is one line. Its line feed may be missing.
func (f keyFile) parse(text string) (ed25519.PrivateKey, bool) {
	line := strings.TrimSuffix(text, "\n")
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(line, f.prefix))
	if err != nil || len(seed) != ed25519.SeedSize ||
		line != f.prefix+base64.RawURLEncoding.EncodeToString(seed) {
		return nil, false // cut short, or not the canonical spelling
	}
	return ed25519.NewKeyFromSeed(seed), true
}
