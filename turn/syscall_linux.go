package turn

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr, for one message of many. Go pads it as C does, since Msghdr is aligned to a
// pointer.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received or sent
}

// recvmmsg waits for one message, and takes all that are there by then. sendmmsg says why the use of unsafe is right.
func recvmmsg(fd int, messages []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))),
		uintptr(len(messages)), unix.MSG_WAITFORONE, 0, 0)
	return int(n), e
}

// sendmmsg sends messages and never waits. It returns how many it sent, or why it did not send the first.
//
// The kernel reads the array, which has the layout of mmsghdr, and no further than its length. The conversion is in the
// call's own argument list, so the array stays in place and alive until the call returns (unsafe.Pointer, rule 4).
// Typed pointers in the headers keep alive what they point to. The kernel keeps no pointer.
func sendmmsg(fd int, messages []mmsghdr) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}
