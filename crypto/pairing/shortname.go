package pairing

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// Pair files were once named after the first 8 bytes of the peer's fingerprint. Anybody can make two devices that share
// those, with 2^32 tries, and the pair with one would then replace the pair with the other.

// shortName matches such a name: 8 bytes in base64url.
var shortName = regexp.MustCompile(`^[A-Za-z0-9_-]{11}\.json$`)

func (s *Store) shortPath(peer identity.Fingerprint) string {
	return filepath.Join(s.dir, base64.RawURLEncoding.EncodeToString(peer[:8])+".json")
}

// renameShort gives pair files with a short name their whole one. Each moves atomically, so that a crash loses nothing.
// A file that cannot be moved is no error: the disk may be read-only, or another process was quicker. The file is then
// used under the name that it has.
func (s *Store) renameShort() {
	entries, _ := os.ReadDir(s.dir) // Load reports what is wrong with it
	for _, e := range entries {
		short := filepath.Join(s.dir, e.Name())
		if !shortName.MatchString(e.Name()) {
			continue
		}
		if r, err := s.read(short); err == nil {
			s.renameFile(short, r)
		}
	}
}

// renameFile moves the file of r, or removes it if an older program left it beside a newer pair with the same peer. It
// leaves a damaged file in its way for the owner to look at.
func (s *Store) renameFile(short string, r Record) {
	whole := s.path(r.Pair.Peer.Fingerprint())
	kept, err := s.read(whole)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && kept.PairedAt.Before(r.PairedAt):
		_ = identity.MoveFile(short, whole)
	case err == nil:
		_ = identity.RemoveFile(short)
	}
}
