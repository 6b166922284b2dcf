package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

var (
	// ErrFileMode is returned for a private file that others on this machine can read.
	ErrFileMode = errors.New("file holds secrets and is readable by others: run chmod 600 on it")
	// ErrFileSize is returned for a private file longer than any that this program writes.
	ErrFileSize = errors.New("file is larger than any of Peephole's")
)

const maxFile = 1 << 20

// ReadFile reads a private file of at most 1 MiB. Errors: ErrFileMode if others can read it, ErrFileSize.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s: %w", path, ErrFileMode)
	}
	if err != nil {
		return nil, err
	}

	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: %w", path, ErrFileSize)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// WriteFile writes a private file whole or not at all: a temporary file of mode 0600 beside it, synced, then renamed,
// in a directory of mode 0700. If the disk is full, the old file stays as it was. Errors: ErrDiskFull, ErrReadOnly.
func WriteFile(path string, data []byte) error { return writeFile(path, data, os.Rename) }

// createFile is WriteFile for a file that must not exist yet; if it does, the error is fs.ErrExist.
func createFile(path string, data []byte) error {
	return writeFile(path, data, func(temp, path string) error {
		if err := os.Link(temp, path); err != nil {
			return err
		}
		return os.Remove(temp)
	})
}

// MoveFile renames a private file within its directory, atomically and durably.
func MoveFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// RemoveFile removes a private file durably: it does not come back after a power cut.
func RemoveFile(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeFile(path string, data []byte, move func(temp, path string) error) error {
	dir := filepath.Dir(path)
	temp, err := writeTemp(dir, "."+filepath.Base(path)+".*", data)
	if err != nil {
		return advise(err)
	}
	if err := move(temp, path); err != nil {
		return advise(errors.Join(err, os.Remove(temp)))
	}
	return syncDir(dir)
}

// writeTemp writes a new file of mode 0600 in dir, or leaves none behind.
func writeTemp(dir, pattern string, data []byte) (path string, err error) {
	if err := makeDir(dir); err != nil {
		return "", err
	}
	temp, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}

	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp.Name()))
	}
	return temp.Name(), nil
}

// makeDir makes a private directory durably: it syncs the parent, too. It leaves an existing directory alone, even
// below a parent that this process may not read.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return errors.Join(os.MkdirAll(dir, 0o700), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
