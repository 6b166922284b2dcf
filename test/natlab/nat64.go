//go:build linux

package natlab

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A nat64 is stateful NAT64 (RFC 6146, headers as in RFC 7915) at the outside of a network that only has IPv6: it takes
// packets to 64:ff9b::/96 to IPv4, UDP and TCP only, and lets the rest pass.
type nat64 struct{ *translator }

// wellKnown is the prefix that represents IPv4 (RFC 6052).
var wellKnown = netip.MustParsePrefix("64:ff9b::/96")

func newNAT64(b Behaviour, public netip.Addr, timeout time.Duration) *nat64 {
	return &nat64{newTranslator(b, public, timeout)}
}

// synthesize returns an IPv4 address as hosts with only IPv6 see it.
func synthesize(a netip.Addr) netip.Addr {
	b := wellKnown.Addr().As16()
	a4 := a.As4()
	copy(b[12:], a4[:])
	return netip.AddrFrom16(b)
}

// embedded is the opposite of synthesize.
func embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

const ipv4Header, ipv6Header = 20, 40

func (t *nat64) outward(p []byte) (out, back []byte) {
	h, ok := parse(p)
	if h.version == 6 && !wellKnown.Contains(h.dst.Addr()) {
		return p, nil
	}
	if !ok || h.version != 6 || h.protocol != UDP && h.protocol != TCP {
		return nil, nil
	}

	dst := netip.AddrPortFrom(embedded(h.dst.Addr()), h.dst.Port())
	src, ok := t.source(h.protocol, h.src, dst)
	if !ok || dst.Addr() == t.public {
		return nil, nil
	}
	out = make([]byte, ipv4Header, ipv4Header+len(p)-ipv6Header)
	out[0] = 4<<4 | ipv4Header/4
	binary.BigEndian.PutUint16(out[2:], uint16(cap(out)))
	const doNotFragment = 1 << 14
	binary.BigEndian.PutUint16(out[6:], doNotFragment)
	out[8], out[9] = p[7], h.protocol
	a, b := src.Addr().As4(), dst.Addr().As4()
	copy(out[12:], a[:])
	copy(out[16:], b[:])
	binary.BigEndian.PutUint16(out[10:], ^sum(out))

	return move(out, p[ipv6Header:], h, src.Port(), dst.Port(), p[8:40], out[12:20]), nil
}

func (t *nat64) inward(p []byte) []byte {
	h, ok := parse(p)
	if h.version == 6 {
		return p
	}
	if !ok || h.dst.Addr() != t.public || h.protocol != UDP && h.protocol != TCP {
		return nil
	}

	dst, ok := t.destination(h.protocol, h.dst.Port(), h.src)
	end := int(binary.BigEndian.Uint16(p[2:]))
	if !ok || end < h.payload+8 || end > len(p) {
		return nil
	}
	body := p[h.payload:end]
	in := make([]byte, ipv6Header, ipv6Header+len(body))
	in[0] = 6 << 4
	binary.BigEndian.PutUint16(in[4:], uint16(len(body)))
	in[6], in[7] = h.protocol, p[8]
	a, b := synthesize(h.src.Addr()).As16(), dst.Addr().As16()
	copy(in[8:], a[:])
	copy(in[24:], b[:])

	return move(in, body, h, h.src.Port(), dst.Port(), p[12:20], in[8:40])
}

// move puts what follows the IP header of one packet behind another's, with other ports, and a checksum that covers the
// other addresses.
func move(to, body []byte, h header, srcPort, dstPort uint16, oldAddresses, newAddresses []byte) []byte {
	at := len(to)
	to = append(to, body...)
	h.payload = at
	h.adjust(to, oldAddresses, newAddresses)
	h.setPort(to, at, srcPort)
	h.setPort(to, at+2, dstPort)
	return to
}
