//go:build linux

package natlab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// A capture is a packet socket on all devices of a namespace, including later ones.
type capture struct {
	socket *os.File
	into   *Recording
	mu     sync.Mutex // held while draining
	buffer []byte
}

// Record records what passes the host's devices from now on, except for its loopback, wherever the host moves.
func (h *Host) Record() *Recording {
	h.lab.t.Helper()
	c, err := h.ns.capture(h.lab)
	h.lab.must(err)
	return c.into
}

func (n *namespace) capture(l *Lab) (*capture, error) {
	c := &capture{into: &Recording{t: l.t}, buffer: make([]byte, 1<<17)}
	c.into.drain = c.drain
	everything := int(bigEndian(syscall.ETH_P_ALL))
	err := n.do(func() error {
		fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK,
			everything)
		if err != nil {
			return err
		}
		c.socket = os.NewFile(uintptr(fd), "capture in "+n.name)
		return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 64<<20)
	})
	if err != nil {
		return nil, fmt.Errorf("capture packets in %s: %w", n.name, err)
	}

	l.captures = append(l.captures, c)
	c.into.workers.Go(c.run)
	return c, nil
}

// bigEndian is htons.
func bigEndian(n uint16) uint16 { return n<<8 | n>>8 }

// run reads packets as they come, so that the kernel's buffer does not fill.
func (c *capture) run() {
	raw, err := c.socket.SyscallConn()
	for err == nil {
		err = raw.Read(func(fd uintptr) bool {
			took, err := c.take(int(fd))
			return took || err != nil
		})
	}
}

// drain reads the packets that wait now, and asks the kernel how many it dropped.
func (c *capture) drain() error {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if _, failed = c.take(int(fd)); failed == nil {
			failed = c.countDrops(int(fd))
		}
	})

	return errors.Join(err, failed)
}

// take reads everything that waits.
func (c *capture) take(fd int) (some bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		n, from, err := syscall.Recvfrom(fd, c.buffer, syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return some, nil
		case errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EINTR):
			continue // a device went away
		case err != nil:
			return some, err
		}

		some = true
		const loopback = 1
		at, ok := from.(*syscall.SockaddrLinklayer)
		if !ok || at.Ifindex == loopback {
			continue
		}

		if kind := bigEndian(at.Protocol); kind == syscall.ETH_P_IP || kind == syscall.ETH_P_IPV6 {
			c.into.add(at.Pkttype == syscall.PACKET_OUTGOING, append([]byte(nil), c.buffer[:n]...))
		}
	}
}

func (c *capture) countDrops(fd int) error {
	const statistics = 6 // PACKET_STATISTICS of <linux/if_packet.h>
	var counts struct{ packets, drops uint32 }
	size := uint32(unsafe.Sizeof(counts))
	_, _, e := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.SOL_PACKET, statistics,
		uintptr(unsafe.Pointer(&counts)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}

	c.into.miss(int(counts.drops))
	return nil
}

func (c *capture) close() {
	c.socket.Close()
	c.into.workers.Wait()
}
