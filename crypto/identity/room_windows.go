package identity

import (
	"errors"
	"syscall"
)

// Windows' own errors of a full disk: ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
const (
	handleDiskFull syscall.Errno = 39
	windowsFull    syscall.Errno = 112
)

func diskFull(err error) bool { return errors.Is(err, handleDiskFull) || errors.Is(err, windowsFull) }
