package cli

import (
	"os"
	"path/filepath"
)

// DefaultState returns the directory where a command keeps its state unless -state says otherwise. It is below the
// user's configuration directory, and empty if there is none.
func DefaultState(command string) string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "peephole", command)
}
