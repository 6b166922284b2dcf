package nat

import "syscall"

// forbidFragments makes the socket's packets travel whole or not at all.
func (s *Socket) forbidFragments() {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return
	}

	// IP_PMTUDISC_PROBE of linux/in.h: send even what is larger than the path MTU that the kernel believes in.
	const probe = 3
	_ = raw.Control(func(fd uintptr) { // the option of the other address family fails, which does not matter
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, probe)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER, probe)
	})
}
