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

// header is what the lab reads of a packet.
type header struct {
	version  int
	protocol uint8
	src, dst netip.AddrPort // port 0 where the protocol has none
	payload  int            // where the layer above IP begins
}

// parse reads the headers of an IP packet. It is not ok when there is more in it than the addresses to know, and that is
// not there: in what is cut short, and in fragments, whose ports only the first one has.
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
