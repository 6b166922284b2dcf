//go:build linux

package natlab

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// forgetConnections empties the namespace's connection tracking table, both mappings and the firewall's state. It sends
// the kernel what `conntrack -F` sends.
func (n *namespace) forgetConnections() error {
	const (
		netfilter = 12             // NETLINK_NETFILTER
		remove    = 1<<8 | 2       // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE; naming no connection, it means all
		header    = 16             // struct nlmsghdr
		size      = header + 1 + 3 // struct nfgenmsg: family (any), version, resource
	)

	request := make([]byte, size)
	binary.NativeEndian.PutUint32(request, size)
	binary.NativeEndian.PutUint16(request[4:], remove)
	binary.NativeEndian.PutUint16(request[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	err := n.do(func() error {
		fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netfilter)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)

		if err := syscall.Sendto(fd, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
			return err
		}
		reply := make([]byte, 256)
		k, _, err := syscall.Recvfrom(fd, reply, 0)
		if err != nil {
			return err
		}
		if k < header+4 || binary.NativeEndian.Uint16(reply[4:]) != syscall.NLMSG_ERROR {
			return fmt.Errorf("netlink reply %x", reply[:k])
		}
		if code := int32(binary.NativeEndian.Uint32(reply[header:])); code != 0 {
			return syscall.Errno(-code)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("empty connection table of %s: %w", n.name, err)
	}
	return nil
}
