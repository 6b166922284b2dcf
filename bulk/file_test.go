package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

func TestFileVerifiesWhatIsOnTheDisk(t *testing.T) {
	data := testData(6*BlockSize + 99)
	corrupt := slices.Clone(data)
	corrupt[BlockSize]++
	corrupt[3*BlockSize-1]++
	corrupt[5*BlockSize]++

	for _, tt := range []struct {
		name   string
		onDisk []byte
		read   int // bytes that come
	}{
		{"nothing", nil, len(data)},
		{"half a block", data[:BlockSize/2], len(data)},
		{"two blocks", data[:2*BlockSize], len(data) - 2*BlockSize},
		{"two blocks and a half", data[:2*BlockSize+5], len(data) - 2*BlockSize},
		{"all of it", data, 0},
		{"all of it and more", append(slices.Clone(data), data...), 0},
		{"three blocks corrupted", corrupt, 3 * BlockSize},
		{"the last block corrupted", append(slices.Clone(data[:len(data)-1]), data[len(data)-1]+1), 99},
		{"something else", make([]byte, 3*BlockSize), len(data)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path+partSuffix, tt.onDisk, 0o644); err != nil {
				t.Fatal(err)
			}
			l := connect(t)
			o := newCounting(NewBytes("log", data))
			l.serve(t, shelf{"log": o}, idle)
			var counted []int64
			_, err := l.viewer.Fetch(t.Context(), "log", openTestFile(t, path), func(done, _ int64) {
				counted = append(counted, done)
			})
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, data)
			if read := o.sum(); read != tt.read {
				t.Errorf("%d bytes came, want %d", read, tt.read)
			}
			if !slices.IsSorted(counted) || counted[len(counted)-1] != int64(len(data)) {
				t.Errorf("progress %d", counted)
			}
		})
	}
}

func TestFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "log")
	for _, before := range []bool{false, true} {
		if before {
			if err := os.WriteFile(path+partSuffix, []byte("x"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		f := openTestFile(t, path)
		if info, err := os.Stat(path + partSuffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("before %t: %v, %v", before, info, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmptyPartGoesAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestFileThatCannotBeAPart(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "link"+partSuffix)); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"+partSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "folder", "missing/file"} {
		if f, err := OpenFile(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is opened", name)
			f.Close()
		}
	}
}

func TestFileOnTheDiskIsReplacedOnlyByAWholeOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := connect(t)
	data := testData(3 * BlockSize)
	l.serve(t, shelf{"log": NewBytes("log", data)}, idle)
	f := openTestFile(t, path)

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := l.viewer.Fetch(ctx, "log", f, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, data)
}

func TestVerifyingStopsWithItsContext(t *testing.T) {
	data := testData(3 * BlockSize)
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path+partSuffix, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f := openTestFile(t, path)
	tree := NewBytes("log", data).Tree()
	ctx, cancel := context.WithCancel(t.Context())
	err := f.begin(ctx, Info{ID: "log"}, tree, cancel)
	if !errors.Is(err, context.Canceled) || f.tree != nil || f.whole() {
		t.Fatalf("%v, %+v", err, f)
	}
	if err := f.begin(t.Context(), Info{ID: "log"}, tree, func() {}); err != nil || !f.whole() {
		t.Errorf("%v, %d bytes", err, f.done)
	}
}

func TestFullDiskKeepsWhatHasArrived(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := asDiskFull(fmt.Errorf("write: %w", full))
		if !errors.Is(err, ErrDiskFull) || !errors.Is(err, full) {
			t.Errorf("%v: %v", full, err)
		}
	}
	if err := asDiskFull(os.ErrPermission); errors.Is(err, ErrDiskFull) {
		t.Error(err)
	}

	data := testData(3 * BlockSize)
	path := filepath.Join(t.TempDir(), "log")
	f := openTestFile(t, path)
	if err := f.begin(t.Context(), Info{ID: "log"}, NewBytes("log", data).Tree(), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.write(0, data[:BlockSize]); err != nil {
		t.Fatal(err)
	}
	reading, err := os.Open(path + partSuffix) // which cannot be written, as a full disk cannot
	if err != nil {
		t.Fatal(err)
	}
	writing := f.part
	f.part = reading
	if err := f.write(1, data[BlockSize:2*BlockSize]); err == nil || f.done != BlockSize {
		t.Errorf("%v, %d bytes done", err, f.done)
	}
	f.part = writing
	defer reading.Close()
	if got, err := os.ReadFile(path + partSuffix); err != nil || !bytes.Equal(got, data[:BlockSize]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
