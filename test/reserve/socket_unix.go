//go:build unix

package reserve

import (
	"context"
	"net"
	"syscall"
)

func listenUDP(address string) (*net.UDPConn, error) {
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		})
		if err == nil {
			err = failed
		}

		return err
	}}

	conn, err := share.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func connectToItself(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		own, err := syscall.Getsockname(int(fd))
		if err == nil {
			err = syscall.Connect(int(fd), own)
		}
		failed = err
	}); err != nil {
		return err
	}

	return failed
}

// descriptor is a socket that the runtime knows nothing about.
type descriptor int

func (d descriptor) Close() error { return syscall.Close(int(d)) }

// bind binds a TCP socket that does not listen.
func bind(ip net.IP, port int) (d descriptor, addr string, err error) {
	family, at := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())})
	if four := ip.To4(); four != nil {
		family, at = syscall.AF_INET, &syscall.SockaddrInet4{Port: port, Addr: [4]byte(four)}
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, "", err
	}

	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, at)
	}
	if err == nil {
		at, err = syscall.Getsockname(fd)
	}

	if err != nil {
		syscall.Close(fd)
		return 0, "", err
	}
	switch at := at.(type) {
	case *syscall.SockaddrInet4:
		port = at.Port
	case *syscall.SockaddrInet6:
		port = at.Port
	}

	return descriptor(fd), (&net.TCPAddr{IP: ip, Port: port}).String(), nil
}
