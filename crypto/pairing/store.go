package pairing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

// Record is a pair as a device keeps it.
type Record struct {
	Pair     *envelope.Pair
	RelayURL string
	Name     string // the camera's
	PairedAt time.Time
}

// Store keeps a device's pairs, one private file each, in a directory. It holds the roster of who may watch, or of what
// may be watched; removing a file ends the pair here.
type Store struct {
	dir  string
	self *identity.Private
	role identity.Role
}

// NewStore returns the store in dir, of a device with this identity and role.
func NewStore(dir string, self *identity.Private, role identity.Role) *Store {
	return &Store{dir: filepath.Join(dir, "pairs"), self: self, role: role}
}

var (
	// ErrPairFile is returned for a pair file that is torn or of another device.
	ErrPairFile = errors.New("damaged pair file: restore it from a backup, or remove it and pair again")
	// ErrPairFileNewer is returned for a pair file of a version this program does not know.
	ErrPairFileNewer = errors.New("pair file of a newer version: update this program")
	// ErrNotOurs is returned for a pair that is not of the store's own device and role.
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

// Kept says whether the pair with peer is still on disk. Only a file that is not there is gone; a disk that cannot be read keeps all.
func (s *Store) Kept(peer identity.Fingerprint) bool {
	_, err := os.Stat(s.path(peer))
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *Store) path(peer identity.Fingerprint) string {
	return filepath.Join(s.dir, peer.Short()+".json")
}

// Put writes a pair whole or not at all. A pair that Load would refuse is ErrNotOurs.
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

// encode is a pair as it lies in its file.
func (s *Store) encode(r Record) ([]byte, error) {
	f := pairFile{
		Version: pairFileVersion, Role: s.role.String(), Self: s.self.Bundle().Fingerprint().String(),
		Peer:       base64.RawURLEncoding.EncodeToString(r.Pair.Peer.Bytes()),
		PairSecret: r.Pair.Secret.Encode(), MailboxSecret: r.Pair.MailboxSecret.Encode(),
		RelayURL: r.RelayURL, Name: r.Name, PairedAt: r.PairedAt.UTC().Truncate(time.Millisecond),
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Remove ends a pair on this device.
func (s *Store) Remove(peer identity.Fingerprint) error {
	if err := identity.RemoveFile(s.path(peer)); err != nil {
		return fmt.Errorf("remove pair: %w", err)
	}
	return nil
}

// Load reads all pairs, oldest first. A file that cannot be read does not hide the others: it is in the error.
func (s *Store) Load() ([]Record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pairs: %w", err)
	}
	var records []Record
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
		records = append(records, r)
	}
	sort.SliceStable(records, func(i, j int) bool { return records[i].PairedAt.Before(records[j].PairedAt) })
	return records, errors.Join(failed...)
}

func (s *Store) read(path string) (Record, error) {
	b, err := identity.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	r, err := s.parse(b)
	if err == nil && s.path(r.Pair.Peer.Fingerprint()) != path {
		return Record{}, fmt.Errorf("%w (it has been renamed)", ErrPairFile)
	}
	return r, err
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
	if f.Version != pairFileVersion || f.Role != s.role.String() || f.Self != s.self.Bundle().Fingerprint().String() {
		return Record{}, fmt.Errorf("%w (it is of another device)", ErrPairFile)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(f.Peer)
	if err != nil {
		return Record{}, errors.Join(ErrPairFile, err)
	}
	peer, err1 := identity.ParseBundle(raw)
	secret, err2 := envelope.DecodeSecret(f.PairSecret)
	mailbox, err3 := envelope.DecodeSecret(f.MailboxSecret)
	relay, err4 := NormalizeRelayURL(f.RelayURL)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Record{}, errors.Join(ErrPairFile, err)
	}
	pair := &envelope.Pair{Self: s.self, Role: s.role, Peer: peer, Secret: secret, MailboxSecret: mailbox}
	return Record{Pair: pair, RelayURL: relay, Name: f.Name, PairedAt: f.PairedAt}, nil
}
