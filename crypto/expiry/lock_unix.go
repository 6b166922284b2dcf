//go:build unix

package expiry

import (
	"errors"
	"os"
	"syscall"
)

// exclusively runs f, unless another process is running it for the same directory. It does not wait for that process,
// which may be suspended. On a file system without locks it runs f anyway: what f writes is whole.
func exclusively(dir string, f func() error) (done bool, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer d.Close() // which unlocks it

	if errors.Is(syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return false, nil
	}
	return true, f()
}
