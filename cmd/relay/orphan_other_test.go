//go:build !linux

package main

import (
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// startWithScript starts a process. The tests run on Linux, and are only vetted elsewhere.
func startWithScript(_ *testscript.TestScript, cmd *exec.Cmd) error { return cmd.Start() }
