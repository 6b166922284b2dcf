package turn

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// sockaddr is a struct sockaddr_in or sockaddr_in6, as the kernel reads and writes them.
type sockaddr [unix.SizeofSockaddrInet6]byte

// set writes an address for a socket of this family, and returns its length.
func (s *sockaddr) set(to netip.AddrPort, family uint16) int {
	binary.NativeEndian.PutUint16(s[0:], family)
	binary.BigEndian.PutUint16(s[2:], to.Port())
	if family == unix.AF_INET {
		ip := to.Addr().Unmap().As4()
		copy(s[4:], ip[:])
		return unix.SizeofSockaddrInet4
	}

	ip := to.Addr().As16()
	clear(s[4:8]) // flow label
	copy(s[8:24], ip[:])
	scope, err := strconv.ParseUint(to.Addr().Zone(), 10, 32)
	if err != nil { // there is none
		scope = 0
	}

	binary.NativeEndian.PutUint32(s[24:], uint32(scope))
	return len(s)
}

// get returns the address. It spells a zone by its number.
func (s *sockaddr) get() netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	if binary.NativeEndian.Uint16(s[0:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(s[8:24])).Unmap()
	if scope := binary.NativeEndian.Uint32(s[24:]); scope != 0 && ip.Is6() {
		ip = ip.WithZone(strconv.FormatUint(uint64(scope), 10))
	}

	return netip.AddrPortFrom(ip, port)
}

// control is a buffer of control messages: the size of segments, and our own address.
type control [128]byte

// appendMessage appends a control message to the n bytes that are used, and returns how many are used then.
func (c *control) appendMessage(n int, level, kind int32, data []byte) int {
	size := unix.CmsgLen(len(data))
	if unix.SizeofPtr == 8 {
		binary.NativeEndian.PutUint64(c[n:], uint64(size))
	} else {
		binary.NativeEndian.PutUint32(c[n:], uint32(size))
	}

	binary.NativeEndian.PutUint32(c[n+unix.SizeofPtr:], uint32(level))
	binary.NativeEndian.PutUint32(c[n+unix.SizeofPtr+4:], uint32(kind))
	copy(c[n+unix.CmsgLen(0):], data)
	return n + unix.CmsgSpace(len(data))
}

// appendSegmentSize appends the size of the segments (UDP_SEGMENT).
func (c *control) appendSegmentSize(n, size int) int {
	data := binary.NativeEndian.AppendUint16(make([]byte, 0, 2), uint16(size))
	return c.appendMessage(n, unix.SOL_UDP, unix.UDP_SEGMENT, data)
}

// appendSource appends the address of ours to send from.
func (c *control) appendSource(n int, from netip.Addr, family uint16) int {
	if family == unix.AF_INET {
		var info [unix.SizeofInet4Pktinfo]byte // interface, source, destination
		ip := from.Unmap().As4()
		copy(info[4:], ip[:])
		return c.appendMessage(n, unix.SOL_IP, unix.IP_PKTINFO, info[:])
	}

	var info [unix.SizeofInet6Pktinfo]byte // address, interface
	ip := from.As16()
	copy(info[:], ip[:])
	return c.appendMessage(n, unix.SOL_IPV6, unix.IPV6_PKTINFO, info[:])
}

// parse reads n bytes of control messages. It returns the size of segments, 0 if they do not say it, and the address of
// ours that the datagram was sent to.
func (c *control) parse(n int) (size int, local netip.Addr) {
	for at := 0; at+unix.CmsgLen(0) <= min(n, len(c)); {
		length := int(binary.NativeEndian.Uint32(c[at:]))
		if unix.SizeofPtr == 8 {
			length = int(binary.NativeEndian.Uint64(c[at:]))
		}
		if length < unix.CmsgLen(0) || length > min(n, len(c))-at {
			break
		}

		level := binary.NativeEndian.Uint32(c[at+unix.SizeofPtr:])
		kind := binary.NativeEndian.Uint32(c[at+unix.SizeofPtr+4:])
		data := c[at+unix.CmsgLen(0) : at+length]
		switch {
		case level == unix.SOL_UDP && kind == unix.UDP_GRO && len(data) >= 4:
			size = int(int32(binary.NativeEndian.Uint32(data)))
		case level == unix.SOL_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			local = netip.AddrFrom4([4]byte(data[8:12])) // where it was sent to
		case level == unix.SOL_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = netip.AddrFrom16([16]byte(data[:16]))
		}
		at += unix.CmsgSpace(length - unix.CmsgLen(0))
	}
	return size, local
}
