package media

import (
	"os/exec"
	"syscall"
)

// bind makes the child a process group of its own, which ends with cmd's context as a whole, and at the latest with the
// thread that starts it. A terminal's Ctrl-C does not reach it: its parent decides.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
