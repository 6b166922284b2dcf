//go:build linux

package natlab

import (
	"encoding/binary"
	"net/netip"
)

// Protocols of the layer above IP.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// header is what the lab reads from a packet.
type header struct {
	version  int
	protocol uint8
	src, dst netip.AddrPort // port 0 if the protocol has none
	payload  int            // where the layer above IP begins
}

// parse reads the headers of an IP packet. ok is false for a packet that is cut short, and for every fragment, since
// only the first one has ports.
func parse(p []byte) (h header, ok bool) {
	if len(p) < 1 {
		return h, false
	}
	var src, dst netip.Addr
	fragment := false
	switch h.version = int(p[0] >> 4); {
	case h.version == 4 && len(p) >= 20:
		const moreFragmentsOrOffset = 0x3fff
		fragment = binary.BigEndian.Uint16(p[6:])&moreFragmentsOrOffset != 0
		h.payload, h.protocol = int(p[0]&15)*4, p[9]
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	case h.version == 6 && len(p) >= 40:
		h.payload, h.protocol = 40, p[6]
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	default:
		return h, false
	}

	h.src, h.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if h.payload < 20 || len(p) < h.payload+8 || fragment {
		return h, false
	}
	if h.protocol == TCP || h.protocol == UDP {
		h.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(p[h.payload:]))
		h.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(p[h.payload+2:]))
	}

	return h, true
}

// sum returns the Internet checksum's sum (RFC 1071), not complemented.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}

	return fold(s)
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// replaced returns a checksum after bytes that it covers were replaced (RFC 1624, equation 3).
func replaced(checksum uint16, before, after []byte) uint16 {
	return ^fold(uint32(^checksum) + uint32(^sum(before)) + uint32(sum(after)))
}

// adjust corrects the checksum of the layer above IP after bytes that it covers were replaced.
func (h header) adjust(p, before, after []byte) {
	at := h.payload
	switch h.protocol {
	case TCP:
		at += 16
	case UDP:
		at += 6
	default:
		return
	}

	if at+2 > len(p) { // cut short, in an ICMP error
		return
	}
	c := binary.BigEndian.Uint16(p[at:])
	if h.protocol == UDP && c == 0 { // none: only IPv4 allows it
		return
	}

	c = replaced(c, before, after)
	if h.protocol == UDP && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(p[at:], c)
}

// setPort replaces the port at an offset.
func (h header) setPort(p []byte, at int, port uint16) {
	before, after := [2]byte(p[at:]), [2]byte{}
	binary.BigEndian.PutUint16(after[:], port)
	copy(p[at:], after[:])
	h.adjust(p, before[:], after[:])
}

// setAddress replaces the IPv4 address at an offset.
func (h header) setAddress(p []byte, at int, a netip.Addr) {
	before, after := [4]byte(p[at:]), a.As4()
	copy(p[at:], after[:])
	binary.BigEndian.PutUint16(p[10:], replaced(binary.BigEndian.Uint16(p[10:]), before[:], after[:]))
	h.adjust(p, before[:], after[:])
}

// setSource replaces the source of an IPv4 packet.
func (h header) setSource(p []byte, a netip.AddrPort) {
	h.setAddress(p, 12, a.Addr())
	if h.protocol == TCP || h.protocol == UDP {
		h.setPort(p, h.payload, a.Port())
	}
}

// setDestination replaces the destination of an IPv4 packet.
func (h header) setDestination(p []byte, a netip.AddrPort) {
	h.setAddress(p, 16, a.Addr())
	if h.protocol == TCP || h.protocol == UDP {
		h.setPort(p, h.payload+2, a.Port())
	}
}

// sumICMP sets the checksum of an ICMP message.
func sumICMP(message []byte) {
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:], ^sum(message))
}
