//go:build linux

package turnload

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch       = 64      // most messages per call
	largest     = 1 << 16 // most bytes of a received message: as many as GRO joins
	buffer      = 32 << 20
	infoSpace   = 32 // a control message with an in_pktinfo
	smallSpace  = 24 // one with a 16-bit or 32-bit number
	stampSpace  = 32 // one with a timespec
	sendSpace   = infoSpace + smallSpace
	recvSpace   = infoSpace + smallSpace + stampSpace
	mmsghdrSize = 64
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// A socket is the UDP socket of all clients. Only one thread may use it.
type socket struct {
	fd     int
	port   uint16 // its own
	server unix.RawSockaddrInet4

	in      [batch]mmsghdr
	inVec   [batch]unix.Iovec
	inCtl   [batch][recvSpace]byte
	inData  []byte
	out     [batch]mmsghdr
	outVec  [batch]unix.Iovec
	outName [batch]unix.RawSockaddrInet4
	outCtl  [batch][sendSpace]byte
	outData [batch][]byte // where the messages of a batch are built
	queued  int           // how many messages of out wait to be sent
}

// openSocket opens a socket on the caller's thread, and so in its network namespace.
func openSocket(server netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	s := &socket{fd: fd, inData: make([]byte, batch*largest)}
	for _, o := range [][3]int{
		{unix.SOL_SOCKET, unix.SO_RCVBUF, buffer},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, buffer},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		{unix.IPPROTO_UDP, unix.UDP_GRO, 1},
	} {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("set socket option %v: %w", o, err)
		}
	}

	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind socket: %w", err)
	}
	for _, o := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} { // root gets all that it asks for
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, buffer)
	}

	own, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("name socket: %w", err)
	}
	s.port = uint16(own.(*unix.SockaddrInet4).Port)
	s.server = rawAddress(server.Addr().As4(), server.Port())

	for i := range batch {
		s.outData[i] = make([]byte, largest)
		s.inVec[i].Base = &s.inData[i*largest]
		s.inVec[i].SetLen(largest)
		s.in[i].hdr.Iov, s.in[i].hdr.Iovlen = &s.inVec[i], 1
		s.outVec[i].Base = &s.outData[i][0]
		h := &s.out[i].hdr
		h.Iov, h.Iovlen = &s.outVec[i], 1
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.outName[i])), unix.SizeofSockaddrInet4
		h.Control = &s.outCtl[i][0]
		putHeader(s.outCtl[i][:], 28, unix.IPPROTO_IP, unix.IP_PKTINFO)
		putHeader(s.outCtl[i][infoSpace:], 18, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	}

	return s, nil
}

// rawAddress returns an address in the kernel's form.
func rawAddress(ip [4]byte, port uint16) unix.RawSockaddrInet4 {
	a := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&a.Port))[:], port)
	return a
}

func (s *socket) close() { unix.Close(s.fd) }

// putHeader writes a struct cmsghdr.
func putHeader(p []byte, length uint64, level, kind int32) {
	*(*unix.Cmsghdr)(unsafe.Pointer(&p[0])) = unix.Cmsghdr{Len: length, Level: level, Type: kind}
}

// stamps turns the kernel's timestamps of arriving packets on or off.
func (s *socket) stamps(on bool) error {
	value := 0
	if on {
		value = 1
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, value); err != nil {
		return fmt.Errorf("set timestamps: %w", err)
	}
	return nil
}

// nextBuffer returns the buffer for the next message, nil if the batch is full.
func (s *socket) nextBuffer() []byte {
	if s.queued == batch {
		return nil
	}
	return s.outData[s.queued]
}

// enqueue queues the message in nextBuffer: length bytes from one address to another, in packets of size bytes each.
func (s *socket) enqueue(from [4]byte, to unix.RawSockaddrInet4, length, size int) {
	i := s.queued
	s.queued++
	s.outName[i] = to
	s.outVec[i].SetLen(length)
	copy(s.outCtl[i][20:], from[:]) // ipi_spec_dst
	space := infoSpace
	if length > size {
		*(*uint16)(unsafe.Pointer(&s.outCtl[i][infoSpace+16])) = uint16(size)
		space = sendSpace
	}
	s.out[i].hdr.SetControllen(space)
}

// flush sends what was queued, and returns how many messages the kernel took. It forgets the rest.
func (s *socket) flush() (sent int, err error) {
	for sent < s.queued {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out[sent])),
			uintptr(s.queued-sent), 0, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			if e != unix.EAGAIN && e != unix.ENOBUFS {
				err = fmt.Errorf("send: %w", e)
			}
			break
		}
		sent += int(n)
	}

	s.queued = 0
	return sent, err
}

// received is the content of one message from the kernel: packets of one client, all of size bytes except the last.
type received struct {
	to   [4]byte
	at   int64 // when it arrived, in Unix nanoseconds, if stamps are on
	data []byte
	size int
}

// receive calls each for every message that has come, and returns how many that were.
func (s *socket) receive(each func(received)) (int, error) {
	for i := range s.in {
		s.in[i].hdr.Control = &s.inCtl[i][0]
		s.in[i].hdr.SetControllen(recvSpace)
	}
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in[0])), batch,
		unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED:
		return 0, nil
	default:
		return 0, fmt.Errorf("receive: %w", e)
	}

	for i := range s.in[:n] {
		r := received{data: s.inData[i*largest : i*largest+int(s.in[i].len)]}
		r.size = len(r.data)
		for c := s.inCtl[i][:s.in[i].hdr.Controllen]; len(c) >= unix.SizeofCmsghdr; {
			h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
			value := c[unix.SizeofCmsghdr:]
			switch {
			case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
				copy(r.to[:], value[8:]) // ipi_addr
			case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO:
				r.size = int(*(*int32)(unsafe.Pointer(&value[0])))
			case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS:
				t := (*unix.Timespec)(unsafe.Pointer(&value[0]))
				r.at = t.Nano()
			}
			c = c[min(len(c), int(h.Len+7)&^7):]
		}
		each(r)
	}

	return int(n), nil
}
