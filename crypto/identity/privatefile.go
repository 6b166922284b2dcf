package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	// ErrFileMode is returned for a private file that others on the machine could read.
	ErrFileMode = errors.New("file holds secrets and is readable by others: run chmod 600 on it")
	// ErrFileSize is returned for a private file longer than any that this program writes.
	ErrFileSize = errors.New("file is larger than any of Peephole's")
)

const maxFile = 1 << 20

// ReadFile reads a private file, at most 1 MiB. Errors: ErrFileMode when others could read it, ErrFileSize.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrFileMode)
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

// WriteFile writes a private file whole or not at all: a temporary file of mode 0600 beside it, synced, then renamed, in a
// directory of mode 0700. When the disk is full the old file stays as it was.
func WriteFile(path string, data []byte) error { return writeFile(path, data, os.Rename) }

// createFile is WriteFile for a file that must not be there yet, else fs.ErrExist.
func createFile(path string, data []byte) error {
	return writeFile(path, data, func(temp, path string) error {
		if err := os.Link(temp, path); err != nil {
			return err
		}
		return os.Remove(temp)
	})
}

// RemoveFile removes a private file, for good: it does not come back after a power cut.
func RemoveFile(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeFile(path string, data []byte, move func(temp, path string) error) (err error) {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = move(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(dir)
}

// makeDir makes a private directory that lasts: its parent is synced too.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(dir), 0o700); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
