package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// batchSocket is the UDP port as Linux offers it: one socket per core on the same address (SO_REUSEPORT), among which
// the kernel divides the clients; many datagrams per call; and several datagrams of one flow joined into one on their
// way through the kernel.
type batchSocket struct {
	fds       []int // blocking
	family    uint16
	wildcard  bool // bound to no address: each datagram says which of ours it was sent to
	joined    bool // the kernel joins datagrams that come in (UDP_GRO)
	segmented atomic.Bool
	at        *net.UDPAddr
	config    *Config
	counters  *counters
	stopped   atomic.Bool
	freed     sync.Once
}

// openSockets makes the best of a bound UDP socket that the kernel and c allow, and logs what that is.
func openSockets(first *net.UDPConn, c *Config, n *counters) sockets {
	if c.sockets.portable {
		return newPlainSocket(first, n)
	}

	s, err := openBatchSocket(first, c, n)
	if err != nil {
		c.Logger.Warn("TURN relays UDP by one datagram a call: this kernel lacks what is faster", "error", err)
		return newPlainSocket(first, n)
	}
	c.Logger.Info("TURN relays UDP in batches", "sockets", len(s.fds), "gro", s.joined, "gso", s.segmented.Load())
	return s
}

// openBatchSocket takes over first and closes it, or returns an error and leaves it as it is.
func openBatchSocket(first *net.UDPConn, c *Config, n *counters) (*batchSocket, error) {
	s := &batchSocket{at: first.LocalAddr().(*net.UDPAddr), config: c, counters: n}
	fd, err := duplicate(first)
	if err != nil {
		return nil, err
	}
	if err := s.addSocket(fd); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	s.addMoreSockets(c.sockets.workers)

	if err := s.setBlocking(); err != nil { // first shares this flag with its duplicate
		s.free()
		return nil, err
	}
	return s, first.Close()
}

// duplicate returns another descriptor of a connection's socket.
func duplicate(c *net.UDPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("reach socket: %w", err)
	}

	var refused error
	err = raw.Control(func(of uintptr) { fd, refused = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, refused); err != nil {
		return 0, fmt.Errorf("duplicate socket: %w", err)
	}
	return fd, nil
}

// addSocket sets up a socket. Options that only make it faster may fail.
func (s *batchSocket) addSocket(fd int) error {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("read socket's name: %w", err)
	}

	level, option := unix.SOL_IPV6, unix.IPV6_RECVPKTINFO
	s.family = unix.AF_INET6
	if _, ok := name.(*unix.SockaddrInet4); ok {
		s.family, level, option = unix.AF_INET, unix.SOL_IP, unix.IP_PKTINFO
	}
	if s.wildcard = s.at.IP.IsUnspecified(); s.wildcard {
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return fmt.Errorf("ask for destination addresses: %w", err)
		}
	}

	if _, e := sendmmsg(fd, nil); e != 0 {
		return fmt.Errorf("probe sendmmsg: %w", e)
	}

	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil { // only root may force it
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer) // the kernel gives what it allows
		}
	}

	s.joined = !s.config.sockets.noGRO && unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.segmented.Store(err == nil && !s.config.sockets.noGSO)
	s.fds = append(s.fds, fd)
	return nil
}

// addMoreSockets adds sockets until there are want of them (0: one per core), or no more can be had. The first was
// bound without SO_REUSEPORT, so that we never share a port with another process.
func (s *batchSocket) addMoreSockets(want int) {
	if want == 0 {
		want = runtime.GOMAXPROCS(0)
	}
	if want == 1 || unix.SetsockoptInt(s.fds[0], unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) != nil {
		return
	}

	for len(s.fds) < want {
		c, err := reusingPort.ListenPacket(context.Background(), "udp", s.at.String()) // as the first was bound
		if err != nil {
			s.config.Logger.Warn("open another UDP socket", "error", errors.Unwrap(err))
			return
		}

		fd, err := duplicate(c.(*net.UDPConn))
		c.Close()
		if err != nil {
			return
		}
		if s.addSocket(fd) != nil {
			unix.Close(fd)
			return
		}
	}
}

// reusingPort listens with SO_REUSEPORT.
var reusingPort = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, e)
}}

func (s *batchSocket) setBlocking() error {
	for _, fd := range s.fds {
		if err := unix.SetNonblock(fd, false); err != nil {
			return fmt.Errorf("make socket blocking: %w", err)
		}
	}
	return nil
}

func (s *batchSocket) serve(r *relay, requests *datagrams) {
	var working sync.WaitGroup
	for _, fd := range s.fds {
		w := newWorker(s, fd, ingress{relay: r, requests: requests, out: &batch{socket: s, fd: fd}})
		working.Go(w.run)
	}
	working.Wait()
}

func (s *batchSocket) newOutlet() outlet { return &batch{socket: s, fd: s.fds[0]} }

func (s *batchSocket) answer(p []byte, to netip.AddrPort, from netip.Addr) error {
	var g segmentGroup
	g.to = &binding{to: to, local: from}
	g.appendPacket(&packet{body: p})

	if e := s.sendGroup(s.fds[0], &g); e != 0 {
		return fmt.Errorf("send answer: %w", e)
	}
	return nil
}

// sendGroup sends one group by itself.
func (s *batchSocket) sendGroup(fd int, g *segmentGroup) unix.Errno {
	var one [1]mmsghdr
	s.fillHeader(&one[0].Msghdr, g)
	for {
		if _, e := sendmmsg(fd, one[:]); e != unix.EINTR {
			return e
		}
	}
}

// disableSegments stops using UDP_SEGMENT: the device on the way out cannot make the checksums of segments.
func (s *batchSocket) disableSegments() {
	if s.segmented.CompareAndSwap(true, false) {
		s.config.Logger.Warn("TURN sends every datagram by itself: the network device does not take segments")
	}
}

func (s *batchSocket) local() *net.UDPAddr { return s.at }

// stop wakes the workers. The kernel complains that the sockets are not connected, but still wakes them.
func (s *batchSocket) stop() {
	s.stopped.Store(true)
	for _, fd := range s.fds {
		_ = unix.Shutdown(fd, unix.SHUT_RD)
	}
}

func (s *batchSocket) free() {
	s.freed.Do(func() {
		for _, fd := range s.fds {
			_ = unix.Close(fd)
		}
	})
}
