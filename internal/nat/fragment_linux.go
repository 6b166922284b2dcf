package nat

import "syscall"

// forbidFragments has the socket's packets leave whole or not at all.
func (s *Socket) forbidFragments() {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return
	}
	const probe = 3                    // IP_PMTUDISC_PROBE of linux/in.h: also beyond what the kernel takes for the path's limit
	_ = raw.Control(func(fd uintptr) { // the one that is not the socket's family is refused
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, probe)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER, probe)
	})
}
