//go:build unix

package identity

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestHalfAFileTakesNoFilesPlace: if a file can be written only in part, the old file stays, and no other is left.
func TestHalfAFileTakesNoFilesPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}

	const room = 1 << 20 // more than go test itself writes to a file meanwhile, which may name every file opened
	limit := was
	limit.Cur = room
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, make([]byte, room+1))
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); restored != nil {
		t.Fatal(restored)
	}

	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("one byte more than there is room for: %v", err)
	}
	if b, err := ReadFile(path); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}

	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
