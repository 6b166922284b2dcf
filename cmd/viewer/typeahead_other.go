//go:build !linux

package main

import "os"

// discardTypeahead does nothing: we know no way on this system.
func discardTypeahead(*os.File) error { return nil }
