package sandbox

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts the program from a thread that has given up its rights, since a child inherits those of its parent's
// thread. The thread lives as long as the child, because the child is killed when the thread ends.
func (p *Process) start(needs *Needs) error {
	bind(p.cmd)
	started := make(chan error, 1)
	onOwnThread(func() {
		if needs != nil {
			p.Held.restrict(p.cmd.Path, *needs)
		}
		started <- p.cmd.Start()
		<-p.gone
	})

	if err := <-started; err != nil {
		return err
	}
	if needs != nil {
		p.Held.note("core dumps and memory (rlimits)", limit(p.cmd.Process.Pid))
	}

	return nil
}

// onOwnThread runs f on a thread that ends with it. While a goroutine is locked to a thread, Go runs nothing else on it
// and creates no thread from it, and when the goroutine ends, Go ends the thread. The exception is the main thread,
// which Go only puts to sleep.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}

		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread() // another thread, since the main thread is locked
			close(locked)
			f()
		}()

		<-locked
		runtime.UnlockOSThread()
	}()
}

// bind puts the child into a process group of its own. The whole group is killed when cmd's context ends, and the child
// at the latest with the thread that starts it. Ctrl-C at a terminal does not reach the group: the parent decides.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
}

// restrict permanently takes rights from the calling thread.
func (h *Held) restrict(program string, needs Needs) {
	h.note("privileges (capabilities)", dropCapabilities())
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		h.note("privileges (no_new_privs), files, sockets and system calls", err)
		return // the other protections require it
	}
	h.note("new privileges (no_new_privs)", nil)
	landlock(h, program, needs)
	h.note("sockets and system calls (seccomp)", filterCalls(needs.Network))
}

// note records that a protection holds, or why it does not.
func (h *Held) note(what string, err error) {
	if err != nil {
		h.Missing = append(h.Missing, what+": "+err.Error())
		return
	}
	h.By = append(h.By, what)
}

// The limits of a child. A picture of 8192x4320 takes 53 MB, and decoders and encoders hold dozens.
const (
	maxData  = 4 << 30
	maxFiles = 256
)

// limit bounds the memory and the open files of a process, and keeps it from writing core dumps and files.
func limit(pid int) error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_FSIZE:  0,
		unix.RLIMIT_NOFILE: maxFiles,
		unix.RLIMIT_DATA:   maxData,
	} {
		var now unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
			return err
		}
		limit = min(limit, now.Max)
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
			return err
		}
	}
	return nil
}

// keptCapabilities let programs of root read files that belong to others. Landlock limits them to the needed files.
const keptCapabilities = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH

// dropCapabilities removes all capabilities but the kept ones from the calling thread. With no_new_privs, no program
// gets them back.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	kept := sets[0].Permitted & keptCapabilities
	sets = [2]unix.CapUserData{{Effective: kept, Permitted: kept}}

	return unix.Capset(&header, &sets[0])
}
