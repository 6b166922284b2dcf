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
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
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

// TestCreateOnce starts many at once: all must come to have the identity that stays.
func TestCreateOnce(t *testing.T) {
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
		"newer":                 {strings.Replace(whole, "-1 ", "-2 ", 1), 0o600, ErrKeyFileNewer},
		"readable by the group": {whole, 0o640, ErrFileMode},
		"readable by all":       {whole, 0o604, ErrFileMode},
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

// TestWriteFileKeepsTheOld: what cannot be written leaves the old file and no other.
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
	if err := WriteFile(filepath.Join(path, "below"), nil); err == nil {
		t.Error("wrote below a file")
	}
	if err := RemoveFile(path); err != nil {
		t.Fatal(err)
	}
	if err := RemoveFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}
