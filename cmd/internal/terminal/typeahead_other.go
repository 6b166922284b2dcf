//go:build !linux

package terminal

import "os"

// DiscardTypeahead does nothing: we know no way on this system.
func DiscardTypeahead(*os.File) error { return nil }
