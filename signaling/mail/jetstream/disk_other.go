//go:build !unix

package jetstream

import (
	"errors"
	"os"
)

// freeBytes fails: on this system, only MaxBytes limits what is stored.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }

// lock makes a folder if need be. Nothing keeps two processes apart on this system.
func lock(dir string) (release func(), err error) { return func() {}, os.MkdirAll(dir, 0o700) }
