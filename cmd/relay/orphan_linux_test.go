package main

import (
	"os/exec"
	"syscall"
)

// endWithTest makes the kernel kill cmd when the test's process ends, however it ends.
func endWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
