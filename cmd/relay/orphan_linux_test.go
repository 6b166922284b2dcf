package main

import (
	"os/exec"
	"syscall"
)

// endWithTest makes the kernel kill cmd when the test's process ends, for whatever reason.
func endWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
