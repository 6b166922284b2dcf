package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLoadOrCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load of nothing: %v", err)
	}
	p, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}

	for path, want := range map[string]fs.FileMode{filepath.Dir(dir): 0o700, dir: 0o700,
		filepath.Join(dir, fileName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}

	for _, load := range []func(string) (*Private, error){Load, LoadOrCreate} {
		if again, err := load(dir); err != nil || again.seeds != p.seeds {
			t.Errorf("the identity changed: %v", err)
		}
	}

	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestDeviceThatCannotKeepItsKeyHasNone: with a new key at each start it would be another device each time, paired with
// nobody.
func TestDeviceThatCannotKeepItsKeyHasNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "gone"), dir); err != nil {
		t.Fatal(err)
	}
	if p, err := LoadOrCreate(dir); p != nil || err == nil {
		t.Errorf("an identity in a directory that is not there: %v", err)
	}
}

// TestManyStartsMakeOneIdentity starts many at once: all must end up with the identity on disk.
func TestManyStartsMakeOneIdentity(t *testing.T) {
	dir := t.TempDir()
	var made [8]*Private
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			var err error
			if made[i], err = LoadOrCreate(dir); err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()
	kept, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range made {
		if p == nil || p.seeds != kept.seeds {
			t.Errorf("%d has an identity that did not stay", i)
		}
	}
}

// TestBadKeyFile: each fault has its error, and nothing replaces the file.
func TestBadKeyFile(t *testing.T) {
	whole := filePrefix + "1 " + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64)) + "\n"
	for name, row := range map[string]struct {
		text string
		mode fs.FileMode
		want error
	}{
		"empty":                 {"", 0o600, ErrKeyFile},
		"foreign":               {"-----BEGIN PRIVATE KEY-----\n", 0o600, ErrKeyFile},
		"binary":                {strings.Repeat("\x00\xff", 50), 0o600, ErrKeyFile},
		"torn in the prefix":    {whole[:9], 0o600, ErrKeyFile},
		"torn in the key":       {whole[:60], 0o600, ErrKeyFile},
		"torn before its end":   {whole[:len(whole)-1], 0o600, ErrKeyFile},
		"two lines":             {whole + whole, 0o600, ErrKeyFile},
		"line break in the key": {whole[:40] + "\n" + whole[40:], 0o600, ErrKeyFile},
		"loose last character":  {whole[:len(whole)-2] + "x\n", 0o600, ErrKeyFile},
		"version 0":             {strings.Replace(whole, "-1 ", "-0 ", 1), 0o600, ErrKeyFile},
		"version x":             {strings.Replace(whole, "-1 ", "-x ", 1), 0o600, ErrKeyFile},
		"version 01":            {strings.Replace(whole, "-1 ", "-01 ", 1), 0o600, ErrKeyFile},
		"version 1g":            {strings.Replace(whole, "-1 ", "-1g ", 1), 0o600, ErrKeyFile},
		"another file's newer":  {strings.Replace(whole, filePrefix+"1", "2", 1), 0o600, ErrKeyFile},
		"no key":                {filePrefix + "1 \n", 0o600, ErrKeyFile},
		"newer":                 {strings.Replace(whole, "-1 ", "-2 ", 1), 0o600, ErrKeyFileNewer},
		"readable by the group": {whole, 0o640, ErrFileMode},
		"readable by all":       {whole, 0o604, ErrFileMode},
		"executable by all":     {whole, 0o601, ErrFileMode},
		"huge":                  {whole + strings.Repeat("A", maxFile), 0o600, ErrFileSize},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			if err := os.WriteFile(path, []byte(row.text), row.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, row.mode); err != nil {
				t.Fatal(err)
			}

			for _, load := range []func(string) (*Private, error){Load, LoadOrCreate} {
				if _, err := load(filepath.Dir(path)); !errors.Is(err, row.want) {
					t.Errorf("%v, want %v", err, row.want)
				}
			}

			if b, err := os.ReadFile(path); err != nil || string(b) != row.text {
				t.Errorf("the file was replaced: %v", err)
			}
		})
	}

	if _, err := parseFile(whole); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

// TestPrivateFileHasOneMebibyteAtMost also reads a file that its owner may execute.
func TestPrivateFileHasOneMebibyteAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for size, want := range map[int]error{0: nil, 1 << 20: nil, 1<<20 + 1: ErrFileSize, 1 << 21: ErrFileSize} {
		if err := WriteFile(path, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}

		if b, err := ReadFile(path); !errors.Is(err, want) || err == nil && len(b) != size {
			t.Errorf("%d bytes: read %d, %v", size, len(b), err)
		}
	}
}

// TestWriteFileKeepsTheOld: a failed write leaves the old file and no other.
func TestWriteFileKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space")
	if err := writeFile(path, []byte("new"), func(string, string) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}

	if err := createFile(path, []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	if b, err := ReadFile(path); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}

	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for _, impossible := range []string{
		filepath.Join(path, "below"), filepath.Join(path, "far", "below"), filepath.Join(dir, strings.Repeat("n", 250)),
	} {
		if err := WriteFile(impossible, nil); err == nil {
			t.Errorf("wrote %s", impossible)
		}
	}

	if err := RemoveFile(path); err != nil {
		t.Fatal(err)
	}
	if err := RemoveFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}
