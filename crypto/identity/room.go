package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrDiskFull is returned if the disk has no room for a private file. The old file, if there is one, is unchanged.
	ErrDiskFull = errors.New("the disk is full: make room there")
	// ErrReadOnly is returned if a private file may not be written.
	ErrReadOnly = errors.New("the folder is read-only: make it writable")
)

// advise adds to an error of the disk what a person can do about it.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), diskFull(err):
		return fmt.Errorf("%w (%w)", ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", ErrReadOnly, err)
	}
	return err
}

// room is more than any pair file takes.
const room = 8 << 10

// CheckRoom returns nil if a private file could be written in dir now. It leaves nothing there. Errors: ErrDiskFull,
// ErrReadOnly.
func CheckRoom(dir string) error {
	probe := filepath.Join(dir, "room")
	return writeFile(probe, make([]byte, room), func(temp, _ string) error { return os.Remove(temp) })
}
