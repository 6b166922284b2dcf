//go:build unix

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock reserves a state directory until release is called: two cameras with one identity would answer every viewer
// twice.
func lock(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	for _, there := range []string{"lock", "identity.key"} { // on a full or read-only disk, a file that exists
		if err != nil {
			f, err = os.Open(filepath.Join(dir, there))
		}
	}

	if err != nil {
		return nil, fmt.Errorf("lock state: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another camera is already using %s: stop it, or give this one its own -state", dir)
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}
