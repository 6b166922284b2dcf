package main

import (
	"errors"
	"fmt"
	"os"
)

// errNoFile is returned if standard input is not a file, and cannot be read again.
var errNoFile = errors.New("standard input is not a file")

// list is the file that standard input was when the camera started. It is known by its path, since editors replace
// files.
type list struct{ path string }

func newList(stdin *os.File) list {
	info, err := stdin.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return list{}
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", stdin.Fd()))
	if err != nil {
		return list{}
	}
	return list{path}
}

// reopen opens the file that is at the list's path now.
func (l list) reopen() (*os.File, error) {
	if l.path == "" {
		return nil, errNoFile
	}
	return os.Open(l.path)
}
