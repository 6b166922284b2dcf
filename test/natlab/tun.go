//go:build linux

package natlab

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// mtu is the MTU of every device, and so the largest packet that a line carries.
const mtu = 1500

// openTUN makes a TUN device: what the kernel sends to it can be read, one IP packet at a time, and what is written to
// it arrives in the namespace. The device is gone when the file is closed.
func (n *namespace) openTUN(name string) (file *os.File, err error) {
	const setInterface = 0x400454ca // TUNSETIFF of <linux/if_tun.h>
	request := struct {             // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_TUN | syscall.IFF_NO_PI}

	copy(request.name[:len(request.name)-1], name)
	err = n.do(func() error {
		fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), setInterface,
			uintptr(unsafe.Pointer(&request))); e != 0 {
			syscall.Close(fd)
			return e
		}

		file = os.NewFile(uintptr(fd), "tun "+name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make TUN %s in %s: %w", name, n.name, err)
	}
	return file, nil
}
