//go:build linux && !android

package netwatch

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// settle is how long changes are left to settle before the system is asked: they come in groups, such as a new device,
// its carrier and its addresses.
const settle = 50 * time.Millisecond

// listen calls look once, and then soon after each change of a link or an address that the kernel reports, until ctx
// ends. It returns an error if the kernel reports none, or no more.
func listen(ctx context.Context, look func() bool) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	return k.report(ctx, look)
}

// kernel is a socket to which the kernel sends its changes (rtnetlink(7)).
type kernel struct {
	socket *os.File
	raw    syscall.RawConn
}

func openKernel() (*kernel, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK,
		syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}

	const groups = 1<<(syscall.RTNLGRP_LINK-1) | 1<<(syscall.RTNLGRP_IPV4_IFADDR-1) | 1<<(syscall.RTNLGRP_IPV6_IFADDR-1)
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: groups}); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}

	k := &kernel{socket: os.NewFile(uintptr(fd), "rtnetlink")}
	if k.raw, err = k.socket.SyscallConn(); err != nil {
		k.socket.Close()
		return nil, err
	}
	return k, nil
}

// report calls look until ctx ends, as listen does, and closes the socket.
func (k *kernel) report(ctx context.Context, look func() bool) error {
	defer context.AfterFunc(ctx, func() { k.socket.Close() })()
	defer k.socket.Close()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}

		if !look() {
			timer.Reset(lookEvery)
			continue
		}
		if err := k.await(); err != nil && ctx.Err() == nil {
			return err
		}
		timer.Reset(settle)
	}
}

// await waits for a change, and takes it and all those that wait behind it. What they are is not looked at: the system
// is asked for what it has now. So it does not matter either if the kernel had to drop some (ENOBUFS).
func (k *kernel) await() (err error) {
	var message [1]byte // the kernel cuts the rest off
	changed := false
	failed := k.raw.Read(func(fd uintptr) (done bool) {
		for {
			_, _, err = syscall.Recvfrom(int(fd), message[:], 0)
			switch {
			case err == nil, errors.Is(err, syscall.ENOBUFS):
				changed = true
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				err = nil
				return changed
			default:
				return true
			}
		}
	})
	return errors.Join(failed, os.NewSyscallError("recvfrom", err))
}
