package turn

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr, for one message of many. Go pads it as C does, since Msghdr is aligned to a pointer.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received or sent
}

// recvmmsg waits for one message and takes those that are there too. See sendmmsg for why the use of unsafe is right.
func recvmmsg(fd int, messages []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))),
		uintptr(len(messages)), unix.MSG_WAITFORONE, 0, 0)
	return int(n), e
}

// sendmmsg sends messages and never waits. It returns how many were sent, or why the first was not.
//
// The kernel reads the array, whose layout is mmsghdr's, and no further than its length. The conversion is in the call's own
// argument list, so that the array stays where it is and alive until the call returns (unsafe.Pointer, rule 4). What the
// headers point to is held by their typed pointers. The kernel keeps no pointer.
func sendmmsg(fd int, messages []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}
