package sandbox

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// architectures are the processors whose system calls can be filtered: they are little-endian, and the flags of clone
// are its first argument.
var architectures = map[string]uint32{
	"amd64":   unix.AUDIT_ARCH_X86_64,
	"arm64":   unix.AUDIT_ARCH_AARCH64,
	"arm":     unix.AUDIT_ARCH_ARM,
	"riscv64": unix.AUDIT_ARCH_RISCV64,
}

// denied are system calls that a program for pictures has no use for but an intruder has: they reach into other
// processes, into the kernel and its rarely used parts, and change the system. They fail with EPERM.
var denied = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_KILL,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_KEYCTL,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_MOVE_PAGES,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_PERSONALITY,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
	unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_QUOTACTL,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE,
	unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SETHOSTNAME,
	unix.SYS_SETDOMAINNAME, unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
	unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4,
}

// namespaces are the flags of clone that create namespaces.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Offsets in a filter's input (struct seccomp_data), and a filter's results.
const (
	atCall = 0
	atArch = 4
	atArgs = 16 // eight bytes each

	allow  = 0x7fff0000 // SECCOMP_RET_ALLOW
	refuse = unix.SECCOMP_RET_ERRNO
)

var errProcessor = errors.New("not for this processor")

// filterCalls restricts the system calls of the calling thread, which must have no_new_privs set.
func filterCalls(network Network) error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return errProcessor
	}
	code := filter(arch, network)
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return errno
	}
	return nil
}

// filter returns the BPF program that decides about a system call.
func filter(arch uint32, network Network) []unix.SockFilter {
	code := []unix.SockFilter{
		load(atArch), unlessEqual(arch, 1, 0), result(refuse | uint32(unix.EPERM)),
		load(atCall),
	}
	if arch == unix.AUDIT_ARCH_X86_64 { // calls of x32 are these, with a bit more
		code = append(code, ifAtLeast(0x40000000), result(refuse|uint32(unix.EPERM)))
	}

	for _, call := range denied {
		code = append(code, unlessEqual(call, 0, 1), result(refuse|uint32(unix.EPERM)))
	}

	// A filter cannot read the flags of clone3, which are behind a pointer. ENOSYS makes the C library use clone.
	code = append(code, unlessEqual(unix.SYS_CLONE3, 0, 1), result(refuse|uint32(unix.ENOSYS)))
	code = append(code, unlessEqual(unix.SYS_CLONE, 0, 4), load(atArgs), ifAnyBit(namespaces),
		result(refuse|uint32(unix.EPERM)), result(allow))
	sockets := socketFilter(network)
	code = append(code, unlessEqual(unix.SYS_SOCKET, 0, uint8(len(sockets))))
	code = append(code, sockets...)

	return append(code, result(allow))
}

// socketFilter returns the part that decides about socket(family, type, …).
func socketFilter(network Network) []unix.SockFilter {
	var kinds [][2]uint32
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
		if network.TCP != 0 {
			kinds = append(kinds, [2]uint32{family, unix.SOCK_STREAM})
		}
		if network.Names {
			kinds = append(kinds, [2]uint32{family, unix.SOCK_DGRAM})
		}
	}

	if network.Local {
		kinds = append(kinds, [2]uint32{unix.AF_UNIX, unix.SOCK_STREAM})
	}

	var code []unix.SockFilter
	for _, k := range kinds {
		code = append(code, load(atArgs), unlessEqual(k[0], 0, 4),
			load(atArgs+8), masked(0xf), unlessEqual(k[1], 0, 1), result(allow))
	}

	return append(code, result(refuse|uint32(unix.EACCES)))
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func masked(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

// unlessEqual skips equal instructions if the loaded value is k, and other instructions if it is not.
func unlessEqual(k uint32, equal, other uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: equal, Jf: other, K: k}
}

// ifAtLeast and ifAnyBit skip the next instruction unless the loaded value fulfils them.
func ifAtLeast(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jf: 1, K: k}
}

func ifAnyBit(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: k}
}

func result(of uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: of}
}
