package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fileLimit returns how many files a process of this user may open. Go's runtime raises the soft limit to it at the
// start.
func fileLimit() (uint64, bool) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0, false
	}
	return r.Max, true
}

// kernelNumber reads a number below /proc/sys.
func kernelNumber(name string) (uint64, bool) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// synchronized reports whether the kernel knows of a time service that keeps the clock (adjtimex(2)).
func synchronized() bool {
	const timeError = 5 // TIME_ERROR: not synchronized
	state, err := syscall.Adjtimex(new(syscall.Timex))
	return err == nil && state != timeError
}
