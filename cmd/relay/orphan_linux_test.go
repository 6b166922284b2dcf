package main

import (
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/peephole-cam/peephole/test/natlab"
)

// startWithScript starts a process that the kernel kills when the script or the test's process ends, for whatever
// reason.
func startWithScript(ts *testscript.TestScript, cmd *exec.Cmd) error {
	return natlab.StartOutside(ts.Defer, cmd)
}
