package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// discardTypeahead drops what was typed or pasted before a question was shown: it cannot be the answer.
func discardTypeahead(terminal *os.File) error {
	return unix.IoctlSetInt(int(terminal.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}
