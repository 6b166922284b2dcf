package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestDiskErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
	}{
		{syscall.ENOSPC, ErrDiskFull},
		{syscall.EDQUOT, ErrDiskFull},
		{syscall.EROFS, ErrReadOnly},
		{syscall.EACCES, ErrReadOnly},
		{syscall.ENOENT, nil},
	} {
		err := advise(fmt.Errorf("write: %w", tt.err))
		if tt.want != nil && !errors.Is(err, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%v becomes %q", tt.err, err)
		}
		if tt.want == nil && (errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly)) {
			t.Errorf("%v becomes %q", tt.err, err)
		}
	}
}

// The probe makes the folder, leaves nothing in it, and finds whatever would prevent a file.
func TestCheckRoomLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pairs")
	if err := CheckRoom(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckRoom(file); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is a folder: %v", err)
	}
}
