package turn

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// How messages look on the wire (RFC 8656 sections 11 and 12, RFC 8489 sections 5 and 14).
const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112A442

	typeSend      = 0x0016
	typeData      = 0x0017
	attrIntegrity = 0x0008 // MESSAGE-INTEGRITY
	attrPeer      = 0x0012 // XOR-PEER-ADDRESS
	attrData      = 0x0013

	// dataHeader is the length of a Data indication up to its data: the STUN header, the XOR-PEER-ADDRESS of an IPv4
	// peer, and the head of DATA, which comes last.
	dataHeader = stunHeader + 4 + 8 + 4
)

// stunWhole reports whether p is one whole STUN message, judging by its header.
func stunWhole(p []byte) bool {
	return len(p) >= stunHeader && p[0]&0xc0 == 0 && binary.BigEndian.Uint32(p[4:]) == magicCookie &&
		len(p) == stunHeader+int(binary.BigEndian.Uint16(p[2:])) && len(p)%4 == 0
}

// hasIntegrity reports whether a whole STUN message has a MESSAGE-INTEGRITY. It does not check it.
func hasIntegrity(p []byte) bool {
	for at := stunHeader; at+4 <= len(p); {
		if binary.BigEndian.Uint16(p[at:]) == attrIntegrity {
			return true
		}
		at += 4 + padded(int(binary.BigEndian.Uint16(p[at+2:])))
	}
	return false
}

// sendIndication parses a Send indication: who it is for, and where in p the data is. Of several attributes of one
// kind, the first counts.
func sendIndication(p []byte) (peer netip.AddrPort, from, to int, ok bool) {
	if !stunWhole(p) || binary.BigEndian.Uint16(p) != typeSend {
		return peer, 0, 0, false
	}
	for at := stunHeader; at < len(p); {
		kind, n := binary.BigEndian.Uint16(p[at:]), int(binary.BigEndian.Uint16(p[at+2:]))
		at += 4
		if n > len(p)-at {
			return peer, 0, 0, false
		}
		switch {
		case kind == attrPeer && !peer.IsValid():
			if peer, ok = peerAddress(p[at:at+n], p[4:stunHeader]); !ok {
				return peer, 0, 0, false
			}
		case kind == attrData && from == 0:
			from, to = at, at+n
		}
		at += padded(n) // stays within p, whose length is a multiple of 4
	}

	return peer, from, to, peer.IsValid() && from != 0
}

// peerAddress parses an XOR-PEER-ADDRESS. mask is the magic cookie and the transaction id.
func peerAddress(v, mask []byte) (netip.AddrPort, bool) {
	if !validAddress(v) {
		return netip.AddrPort{}, false
	}
	var ip [16]byte
	for i, b := range v[4:] {
		ip[i] = b ^ mask[i]
	}

	addr := netip.AddrFrom16(ip)
	if len(v) == 8 {
		addr = netip.AddrFrom4([4]byte(ip[:]))
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(v[2:])^magicCookie>>16), true
}

// writeData writes the head of a Data indication with n bytes from a peer, given by its host.
func writeData(head *[dataHeader]byte, peer uint32, n int) {
	binary.BigEndian.PutUint16(head[0:], typeData)
	binary.BigEndian.PutUint16(head[2:], uint16(dataHeader-stunHeader+padded(n)))
	binary.BigEndian.PutUint32(head[4:], magicCookie)
	binary.BigEndian.PutUint64(head[8:], rand.Uint64())
	binary.BigEndian.PutUint32(head[16:], rand.Uint32())
	binary.BigEndian.PutUint16(head[20:], attrPeer)
	binary.BigEndian.PutUint16(head[22:], 8)
	binary.BigEndian.PutUint16(head[24:], familyIPv4)
	binary.BigEndian.PutUint16(head[26:], portOf(peer)^magicCookie>>16)
	binary.BigEndian.PutUint32(head[28:], relayedIP(peer)^magicCookie)
	binary.BigEndian.PutUint16(head[32:], attrData)
	binary.BigEndian.PutUint16(head[34:], uint16(n))
}

// padded rounds a length up to a multiple of 4.
func padded(n int) int { return (n + 3) &^ 3 }
