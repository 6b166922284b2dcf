package pairing

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// shortNamed returns the state of a camera with two viewers from when pair files had short names.
func shortNamed(t *testing.T) (dir string, store *Store) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/state-1")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}

	self, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, NewStore(dir, self, identity.Camera)
}

// pairFiles returns the pair files of a state directory, by name.
func pairFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	paths, err := filepath.Glob(filepath.Join(dir, "pairs", "*"))
	if err != nil {
		t.Fatal(err)
	}

	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(p)] = text
	}

	return files
}

// loadTwo loads both pairs of shortNamed.
func loadTwo(t *testing.T, s *Store) []Record {
	t.Helper()
	records, err := s.Load()
	if err != nil || len(records) != 2 {
		t.Fatalf("%d pairs, %v", len(records), err)
	}
	for _, r := range records {
		if r.Name != "front" || r.RelayURL != "https://relay.example" || !s.Kept(r.Pair.Peer.Fingerprint()) {
			t.Errorf("%+v", r)
		}
	}

	return records
}

// TestPairFilesGetTheirWholeName: the same bytes move to the whole fingerprint, once and for all.
func TestPairFilesGetTheirWholeName(t *testing.T) {
	dir, s := shortNamed(t)
	before := pairFiles(t, dir)
	for range 2 {
		records := loadTwo(t, s)
		after := pairFiles(t, dir)
		if len(after) != 2 {
			t.Errorf("%d files", len(after))
		}

		for _, r := range records {
			peer := r.Pair.Peer.Fingerprint()
			if want := before[filepath.Base(s.shortPath(peer))]; len(want) == 0 ||
				!bytes.Equal(after[peer.String()+".json"], want) {
				t.Errorf("the pair with %s is not what it was", peer)
			}
		}
	}
}

// TestPairWithoutItsWholeName: if a file cannot be moved, its pair remains valid, does not count as removed, and can be
// removed.
func TestPairWithoutItsWholeName(t *testing.T) {
	dir, s := shortNamed(t)
	peer := loadTwo(t, s)[0].Pair.Peer.Fingerprint()
	if err := os.Rename(s.path(peer), s.shortPath(peer)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path(peer), 0o700); err != nil { // nothing can be moved there
		t.Fatal(err)
	}

	loadTwo(t, s)

	if err := os.Remove(s.path(peer)); err != nil {
		t.Fatal(err)
	}
	if !s.Kept(peer) {
		t.Error("the pair is taken for removed")
	}

	if err := s.Remove(peer); err != nil || s.Kept(peer) || len(pairFiles(t, dir)) != 1 {
		t.Errorf("removed: %v, %d files", err, len(pairFiles(t, dir)))
	}
	if err := s.Remove(peer); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestNewerPairWins: an older program that paired again with the same peer left a file of its own beside ours.
func TestNewerPairWins(t *testing.T) {
	for name, age := range map[string]time.Duration{"theirs is newer": time.Hour, "ours is newer": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir, s := shortNamed(t)
			r := loadTwo(t, s)[0]
			peer := r.Pair.Peer.Fingerprint()
			theirs := r
			theirs.PairedAt = r.PairedAt.Add(age)
			text, err := s.encode(theirs)
			if err == nil {
				err = os.WriteFile(s.shortPath(peer), text, 0o600)
			}

			if err != nil {
				t.Fatal(err)
			}

			want := r.PairedAt
			if age > 0 {
				want = theirs.PairedAt
			}
			unmoved, err := s.load() // as on a disk that cannot be written to
			if err != nil || len(unmoved) != 2 {
				t.Fatalf("%d pairs, %v", len(unmoved), err)
			}

			for _, got := range append(unmoved, loadTwo(t, s)...) {
				if got.Pair.Peer.Fingerprint() == peer && !got.PairedAt.Equal(want) {
					t.Errorf("paired at %v, want %v", got.PairedAt, want)
				}
			}

			if files := pairFiles(t, dir); len(files) != 2 || files[filepath.Base(s.shortPath(peer))] != nil {
				t.Errorf("%d files", len(files))
			}
		})
	}
}

// TestDamageInTheWayOfARename: a damaged file under the whole name stays, and so does the pair beside it.
func TestDamageInTheWayOfARename(t *testing.T) {
	dir, s := shortNamed(t)
	peer := loadTwo(t, s)[0].Pair.Peer.Fingerprint()
	if err := os.Rename(s.path(peer), s.shortPath(peer)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(peer), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}

	records, err := s.Load()
	if len(records) != 2 || !errors.Is(err, ErrPairFile) {
		t.Errorf("%d pairs, %v", len(records), err)
	}
	if files := pairFiles(t, dir); len(files) != 3 || string(files[peer.String()+".json"]) != "torn" {
		t.Errorf("%d files", len(files))
	}
}

// TestPairsOfOnePrefixAreKeptApart: two peers whose fingerprints begin with the same 8 bytes have one file each.
func TestPairsOfOnePrefixAreKeptApart(t *testing.T) {
	s := NewStore(t.TempDir(), generate(t), identity.Viewer)
	var a, b identity.Fingerprint
	b[31] = 1
	if s.path(a) == s.path(b) {
		t.Errorf("both are kept in %s", s.path(a))
	}
}
