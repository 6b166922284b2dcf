package pairing

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

// stored returns a viewer's store with n pairs, and the pairs.
func stored(t *testing.T, n int) (*Store, []Record) {
	t.Helper()
	self := generate(t)
	s := NewStore(t.TempDir(), self, identity.Viewer)
	var records []Record
	for i := range n {
		pair := &envelope.Pair{
			Self:          self,
			Role:          identity.Viewer,
			Peer:          generate(t).Bundle(),
			Secret:        envelope.Secret(random(32)),
			MailboxSecret: envelope.Secret(random(32)),
		}

		r := Record{Pair: pair, RelayURL: relay, Name: "Küche", PairedAt: time.Unix(1_795_000_000-int64(i), 0)}
		if err := s.Put(r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}

	return s, records
}

func TestStoredPairsComeBack(t *testing.T) {
	s, records := stored(t, 3)
	got, err := s.Load()
	if err != nil || len(got) != 3 {
		t.Fatalf("%d pairs, %v", len(got), err)
	}
	for i, g := range got {
		w := records[len(records)-1-i] // oldest first
		if g.Pair.Peer.Fingerprint() != w.Pair.Peer.Fingerprint() || !g.Pair.Secret.Equal(w.Pair.Secret) ||
			!g.Pair.MailboxSecret.Equal(w.Pair.MailboxSecret) ||
			g.Pair.Role != identity.Viewer || g.RelayURL != relay || g.Name != w.Name || !g.PairedAt.Equal(w.PairedAt) {
			t.Errorf("pair %d came back as %+v", i, g)
		}
	}

	path := s.path(records[0].Pair.Peer.Fingerprint())
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	records[0].Name = "Garten"
	if err := s.Put(records[0]); err != nil {
		t.Fatal(err)
	}

	for _, r := range records[1:] {
		if err := s.Remove(r.Pair.Peer.Fingerprint()); err != nil {
			t.Fatal(err)
		}
	}

	if err := s.Remove(records[1].Pair.Peer.Fingerprint()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if got, err := s.Load(); err != nil || len(got) != 1 || got[0].Name != "Garten" {
		t.Errorf("%+v, %v", got, err)
	}

	if got, err := NewStore(t.TempDir(), s.self, s.role).Load(); err != nil || len(got) != 0 {
		t.Errorf("an empty store: %v, %v", got, err)
	}
}

// TestBadPairFile: each fault has its error, its file stays, and the other pair is loaded anyway.
func TestBadPairFile(t *testing.T) {
	field := func(key string, value any) func([]byte) []byte {
		return func(b []byte) []byte {
			var m map[string]any
			if err := json.Unmarshal(b, &m); err != nil {
				panic(err)
			}
			m[key] = value
			b, err := json.Marshal(m)
			if err != nil {
				panic(err)
			}

			return b
		}
	}
	behind := func(key, more string) func([]byte) []byte {
		return func(b []byte) []byte {
			var m map[string]any
			if err := json.Unmarshal(b, &m); err != nil {
				panic(err)
			}
			return field(key, m[key].(string)+more)(b)
		}
	}
	another := map[string]bool{"foreign": true, "version 0": true, "of the other role": true, "of another device": true}
	for name, row := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"empty":               {func([]byte) []byte { return nil }, ErrPairFile},
		"torn":                {func(b []byte) []byte { return b[:len(b)/2] }, ErrPairFile},
		"torn at its end":     {func(b []byte) []byte { return b[:len(b)-2] }, ErrPairFile},
		"twice":               {func(b []byte) []byte { return append(b, b...) }, ErrPairFile},
		"foreign":             {func([]byte) []byte { return []byte(`{"name":"x"}`) }, ErrPairFile},
		"no object":           {func([]byte) []byte { return []byte(`[]`) }, ErrPairFile},
		"newer":               {field("version", 2), ErrPairFileNewer},
		"version 0":           {field("version", 0), ErrPairFile},
		"of the other role":   {field("role", "camera"), ErrPairFile},
		"of another device":   {field("self", strings.Repeat("A", 43)), ErrPairFile},
		"more than the peer":  {behind("peer", "!"), ErrPairFile},
		"peer torn":           {field("peer", "AAAA"), ErrPairFile},
		"secret torn":         {field("pair_secret", "AAAA"), ErrPairFile},
		"no mailbox secret":   {field("mailbox_secret", ""), ErrPairFile},
		"relay without a key": {field("relay_url", "http://relay.example"), ErrPairFile},
	} {
		t.Run(name, func(t *testing.T) {
			s, records := stored(t, 2)
			path := s.path(records[0].Pair.Peer.Fingerprint())
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			bad := row.change(whole)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := s.Load()
			told := strings.HasSuffix(err.Error(), "(it is of another device)") == another[name]
			if !errors.Is(err, row.want) || !strings.Contains(err.Error(), path) || !told {
				t.Errorf("%v, want %v", err, row.want)
			}

			if len(got) != 1 || got[0].Pair.Peer.Fingerprint() != records[1].Pair.Peer.Fingerprint() {
				t.Errorf("%d pairs", len(got))
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, bad) {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
}

// TestPairFileFound: a pair file that others can read, or a copy under another name that Remove would miss, is an
// error.
func TestPairFileFound(t *testing.T) {
	s, records := stored(t, 1)
	path := s.path(records[0].Pair.Peer.Fingerprint())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "copy.json"), whole, 0o600); err != nil {
		t.Fatal(err)
	}

	if got, err := s.Load(); len(got) != 1 || !errors.Is(err, ErrPairFile) ||
		!strings.HasSuffix(err.Error(), "(it has been renamed)") {
		t.Errorf("a copy: %d pairs, %v", len(got), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}

	if got, err := s.Load(); len(got) != 0 || !errors.Is(err, identity.ErrFileMode) {
		t.Errorf("readable by others: %d pairs, %v", len(got), err)
	}
}

func TestPutRefuses(t *testing.T) {
	s, records := stored(t, 1)
	for name, change := range map[string]func(p *envelope.Pair){
		"another role":   func(p *envelope.Pair) { p.Role = identity.Camera },
		"another device": func(p *envelope.Pair) { p.Self = generate(t) },
	} {
		pair := *records[0].Pair
		change(&pair)
		if err := s.Put(Record{Pair: &pair, RelayURL: relay}); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Where no file can be written, the old one stays.
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := s.Put(records[0]); err == nil {
		t.Error("wrote a pair where no directory can be")
	}
	if _, err := s.Load(); err == nil {
		t.Error("read pairs where no directory can be")
	}
}

// TestOnlyPairFilesAreRead: a person's notes, an editor's hidden copies and folders are not damaged pairs.
func TestOnlyPairFilesAreRead(t *testing.T) {
	s, records := stored(t, 1)
	for _, name := range []string{"notes.txt", ".hidden.json", ".hidden.txt", "json"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for _, name := range []string{"folder.json", "folder", ".folder.json"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	got, err := s.Load()
	if err != nil || len(got) != 1 || got[0].Pair.Peer.Fingerprint() != records[0].Pair.Peer.Fingerprint() {
		t.Errorf("%d pairs, %v", len(got), err)
	}
}
