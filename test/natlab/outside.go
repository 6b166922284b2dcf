//go:build linux

package natlab

import (
	"os/exec"
	"runtime"
	"syscall"
)

// StartOutside starts a process on this machine, in no lab. The kernel kills it when the test process ends, and when
// what was given to atEnd runs, such as the Cleanup of a test.
//
// The kernel does so when the thread that forked it ends, not the process (prctl(2), PR_SET_PDEATHSIG), and a lab's
// threads end with the lab, whatever else they forked before. So each of these processes has a thread of its own.
func StartOutside(atEnd func(func()), cmd *exec.Cmd) error {
	endWithThread(cmd)
	started, end := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with this goroutine
		started <- cmd.Start()
		<-end
	}()

	atEnd(func() { close(end) })

	return <-started
}

// endWithThread makes the kernel kill a command when the thread that forks it ends.
func endWithThread(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
