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

// fileRoom is more than go test itself writes to a file meanwhile, which may name every file opened.
const fileRoom = 1 << 20

// withFileRoom calls f while no file may get longer than fileRoom.
func withFileRoom(t *testing.T, f func() error) error {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}

	limit := was
	limit.Cur = fileRoom
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := f()
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); restored != nil {
		t.Fatal(restored)
	}
	return err
}

// TestHalfAFileTakesNoFilesPlace: if a file can be written only in part, the old file stays, and no other is left.
func TestHalfAFileTakesNoFilesPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}

	err := withFileRoom(t, func() error { return WriteFile(path, make([]byte, fileRoom+1)) })
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

// Where there is room for the longest private file, the probe does not ask for more.
func TestCheckRoomAsksForNoMoreThanAFile(t *testing.T) {
	dir := t.TempDir()
	if err := withFileRoom(t, func() error { return CheckRoom(dir) }); err != nil {
		t.Errorf("there is room for 1 MiB: %v", err)
	}
}
