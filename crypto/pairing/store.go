package pairing

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/relayurl"
)

// Record is a pair as a device stores it.
type Record struct {
	Pair     *envelope.Pair
	RelayURL string
	Name     string // the camera's
	PairedAt time.Time
}

// Store keeps a device's pairs in a directory, in one private file each. They are the roster of who may watch, or of
// what may be watched. Removing a file ends the pair on this device.
type Store struct {
	dir  string
	self *identity.Private
	role identity.Role
}

// NewStore returns the store in dir of a device with this identity and role.
func NewStore(dir string, self *identity.Private, role identity.Role) *Store {
	return &Store{dir: filepath.Join(dir, "pairs"), self: self, role: role}
}

var (
	// ErrPairFile is returned for a pair file that is damaged or belongs to another device.
	ErrPairFile = errors.New("damaged pair file: restore it from a backup, or remove it and pair again")
	// ErrPairFileNewer is returned for a pair file of a version this program does not know.
	ErrPairFileNewer = errors.New("pair file of a newer version: update this program")
	// ErrNotOurs is returned for a pair of another device or role than the store's own.
	ErrNotOurs = errors.New("pair of another device or role")
)

const pairFileVersion = 1

type pairFile struct {
	Version       int       `json:"version"`
	Role          string    `json:"role"` // of the device that holds the file
	Self          string    `json:"self"` // its fingerprint
	Peer          string    `json:"peer"` // the other end's bundle
	PairSecret    string    `json:"pair_secret"`
	MailboxSecret string    `json:"mailbox_secret"`
	RelayURL      string    `json:"relay_url"`
	Name          string    `json:"name"`
	PairedAt      time.Time `json:"paired_at"`
}

// Kept reports whether the pair with peer is still on disk. Only a missing file counts as gone: on a disk that cannot
// be read every pair is kept.
func (s *Store) Kept(peer identity.Fingerprint) bool {
	for _, path := range []string{s.path(peer), s.shortPath(peer)} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

func (s *Store) path(peer identity.Fingerprint) string {
	return filepath.Join(s.dir, peer.String()+".json")
}

// Put writes a pair whole or not at all. It returns ErrNotOurs for a pair that Load would refuse.
func (s *Store) Put(r Record) error {
	if r.Pair.Role != s.role || r.Pair.Self.Bundle().Fingerprint() != s.self.Bundle().Fingerprint() {
		return fmt.Errorf("write pair: %w", ErrNotOurs)
	}
	b, err := s.encode(r)
	if err == nil {
		err = identity.WriteFile(s.path(r.Pair.Peer.Fingerprint()), b)
	}

	if err != nil {
		return fmt.Errorf("write pair: %w", err)
	}
	return nil
}

// CheckRoom returns nil if a pair could be written now. Errors: identity.ErrDiskFull, identity.ErrReadOnly.
func (s *Store) CheckRoom() error {
	if err := identity.CheckRoom(s.dir); err != nil {
		return fmt.Errorf("write pair: %w", err)
	}
	return nil
}

// selfText returns the device's own fingerprint as a pair file spells it.
func (s *Store) selfText() string {
	fingerprint := s.self.Bundle().Fingerprint()
	return base64.RawURLEncoding.EncodeToString(fingerprint[:])
}

// encode returns a pair as its file spells it.
func (s *Store) encode(r Record) ([]byte, error) {
	f := pairFile{
		Version:       pairFileVersion,
		Role:          s.role.String(),
		Self:          s.selfText(),
		Peer:          base64.RawURLEncoding.EncodeToString(r.Pair.Peer.Bytes()),
		PairSecret:    r.Pair.Secret.Encode(),
		MailboxSecret: r.Pair.MailboxSecret.Encode(),
		RelayURL:      r.RelayURL,
		Name:          r.Name,
		PairedAt:      r.PairedAt.UTC().Truncate(time.Millisecond),
	}

	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Remove ends a pair on this device.
func (s *Store) Remove(peer identity.Fingerprint) error {
	err, short := identity.RemoveFile(s.path(peer)), identity.RemoveFile(s.shortPath(peer))
	switch {
	case errors.Is(short, fs.ErrNotExist):
		short = nil
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}

	if err := errors.Join(err, short); err != nil {
		return fmt.Errorf("remove pair: %w", err)
	}
	return nil
}

// Load reads all pairs, oldest first. If some files cannot be read, it returns the other pairs beside the error.
func (s *Store) Load() ([]Record, error) {
	s.renameShort()
	return s.load()
}

// load is Load without renaming files first. If two files have the same peer, as may happen on a read-only disk, the
// newer one counts.
func (s *Store) load() ([]Record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pairs: %w", err)
	}

	newest := make(map[identity.Fingerprint]Record)
	var failed []error
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || filepath.Ext(e.Name()) != ".json" {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		r, err := s.read(path)
		if err != nil {
			failed = append(failed, fmt.Errorf("read pair %s: %w", path, err))
			continue
		}

		if other, ok := newest[r.Pair.Peer.Fingerprint()]; !ok || other.PairedAt.Before(r.PairedAt) {
			newest[r.Pair.Peer.Fingerprint()] = r
		}
	}

	records := slices.Collect(maps.Values(newest))
	slices.SortFunc(records, func(a, b Record) int {
		first, second := a.Pair.Peer.Fingerprint(), b.Pair.Peer.Fingerprint()
		return cmp.Or(a.PairedAt.Compare(b.PairedAt), bytes.Compare(first[:], second[:]))
	})
	return records, errors.Join(failed...)
}

func (s *Store) read(path string) (Record, error) {
	b, err := identity.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	r, err := s.parse(b)
	if err != nil {
		return Record{}, err
	}
	if peer := r.Pair.Peer.Fingerprint(); path != s.path(peer) && path != s.shortPath(peer) {
		return Record{}, fmt.Errorf("%w (it has been renamed)", ErrPairFile)
	}
	return r, nil
}

// parse reads what encode wrote.
func (s *Store) parse(b []byte) (Record, error) {
	var f pairFile
	if err := json.Unmarshal(b, &f); err != nil {
		return Record{}, errors.Join(ErrPairFile, err)
	}
	if f.Version > pairFileVersion {
		return Record{}, ErrPairFileNewer
	}
	if f.Version != pairFileVersion || f.Role != s.role.String() || f.Self != s.selfText() {
		return Record{}, fmt.Errorf("%w (it is of another device)", ErrPairFile)
	}

	raw, err1 := base64.RawURLEncoding.Strict().DecodeString(f.Peer)
	peer, err2 := identity.ParseBundle(raw)
	secret, err3 := envelope.DecodeSecret(f.PairSecret)
	mailbox, err4 := envelope.DecodeSecret(f.MailboxSecret)
	relay, err5 := relayurl.Normalize(f.RelayURL)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return Record{}, errors.Join(ErrPairFile, err)
	}

	pair := &envelope.Pair{
		Self:          s.self,
		Role:          s.role,
		Peer:          peer,
		Secret:        secret,
		MailboxSecret: mailbox,
	}

	return Record{Pair: pair, RelayURL: relay, Name: f.Name, PairedAt: f.PairedAt}, nil
}
