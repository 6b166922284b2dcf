package relay

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// wantedFiles is how many descriptors the process asks for. One relay cannot serve as many connections.
const wantedFiles = 1 << 18

// raiseFiles raises the process's limit of open files as far as the system allows, and returns the limit. Go's runtime
// has already raised it to the hard limit; root can raise that, too.
func raiseFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read limit of open files: %w", err)
	}
	want := min(wantedFiles, kernelMaxFiles())
	if limit.Max < want {
		if higher := (syscall.Rlimit{Cur: want, Max: want}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) == nil {
			limit = higher
		}
	}

	if want = min(wantedFiles, limit.Max); limit.Cur < want {
		higher := syscall.Rlimit{Cur: want, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher); err != nil {
			return 0, fmt.Errorf("raise limit of open files: %w", err)
		}
		limit = higher
	}

	return int(min(limit.Cur, wantedFiles)), nil
}

// kernelMaxFiles returns the highest limit that the kernel allows.
func kernelMaxFiles() uint64 {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return wantedFiles
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return wantedFiles
	}
	return n
}
