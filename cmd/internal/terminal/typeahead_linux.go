package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// DiscardTypeahead drops what was typed or pasted before a question was shown: it cannot be the answer.
func DiscardTypeahead(terminal *os.File) error {
	return unix.IoctlSetInt(int(terminal.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}
