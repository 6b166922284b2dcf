package e2e

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// halt stops a process with SIGSTOP, and returns when the kernel reports it stopped.
func halt(t testing.TB, p *process) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Signal(syscall.SIGCONT) })
	eventually(t, "the process is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, state, _ := bytes.Cut(stat, []byte(") ")) // proc_pid_stat(5)
		return bytes.HasPrefix(state, []byte("T"))
	})
}

// goOn continues a process that was halted.
func goOn(t testing.TB, p *process) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
