//go:build linux

package turnload

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// Payload is how many bytes a packet carries to the other end.
const Payload = 1200

// mark begins every payload. Its flow, its number in that flow and its sending time, in Unix nanoseconds, follow.
const mark = 0x7475726e

// header returns how many bytes precede the payload on its way to the server.
func (e encapsulation) header() int {
	if e == channels {
		return 4
	}
	return 20 + 12 + 4 // STUN, XOR-PEER-ADDRESS, and the head of DATA
}

// putBurst builds packets of flow i, numbered from first. It returns the bytes of all of them, and of each.
func (l *Load) putBurst(p []byte, i, burst int, first uint32, now int64) (length, size int) {
	h := l.encapsulation.header()
	size = h + Payload
	for b := range burst {
		m := p[b*size : (b+1)*size]
		if l.encapsulation == channels {
			binary.BigEndian.PutUint32(m, channel<<16|Payload)
		} else {
			l.putSend(m, i)
		}

		binary.BigEndian.PutUint32(m[h:], mark)
		binary.BigEndian.PutUint32(m[h+4:], uint32(i))
		binary.BigEndian.PutUint32(m[h+8:], first+uint32(b))
		binary.BigEndian.PutUint64(m[h+12:], uint64(now))
	}

	return burst * size, size
}

// putSend writes the head of a Send indication. Its transaction ID need not be random, since nothing answers it.
func (l *Load) putSend(m []byte, i int) {
	binary.BigEndian.PutUint16(m, stun.NewType(stun.MethodSend, stun.ClassIndication).Value())
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-20))
	binary.BigEndian.PutUint32(m[4:], 0x2112a442)
	binary.BigEndian.PutUint32(m[8:], uint32(i))
	to := l.clients[i^1].relayed
	ip := to.Addr().As4()
	binary.BigEndian.PutUint16(m[20:], uint16(stun.AttrXORPeerAddress))
	binary.BigEndian.PutUint16(m[22:], 8)
	binary.BigEndian.PutUint16(m[24:], 1)
	binary.BigEndian.PutUint16(m[26:], to.Port()^0x2112)
	binary.BigEndian.PutUint32(m[28:], binary.BigEndian.Uint32(ip[:])^0x2112a442)
	binary.BigEndian.PutUint16(m[32:], uint16(stun.AttrData))
	binary.BigEndian.PutUint16(m[34:], Payload)
}

// isAnswer reports whether a message is a response, whether of success or of error (RFC 8489, section 5).
func isAnswer(m []byte) bool {
	return len(m) >= 20 && m[0]>>6 == 0 && m[0]&1 == 1
}

// payload returns what a message from the server carries. It is nil unless the message comes from the client's only
// peer and is encapsulated as l sends.
func (l *Load) payload(m []byte, client int) []byte {
	if len(m) < 4 {
		return nil
	}
	if m[0]>>6 == 1 { // ChannelData
		n := int(binary.BigEndian.Uint16(m[2:]))
		if l.encapsulation != channels || binary.BigEndian.Uint16(m) != channel || n != Payload || len(m) != 4+n {
			return nil
		}
		return m[4:]
	}

	if l.encapsulation != indications || len(m) < 20 ||
		stun.NewType(stun.MethodData, stun.ClassIndication).Value() != binary.BigEndian.Uint16(m) {
		return nil
	}
	var data []byte
	from := false

	for m = m[20:]; len(m) >= 4; {
		kind, n := stun.AttrType(binary.BigEndian.Uint16(m)), int(binary.BigEndian.Uint16(m[2:]))
		if len(m) < 4+n {
			return nil
		}
		value := m[4 : 4+n]
		switch kind {
		case stun.AttrData:
			data = value
		case stun.AttrXORPeerAddress:
			want := peer(l.clients[client^1].relayed)
			from = string(value) == string(want.Value)
		}
		m = m[min(len(m), 4+(n+3)&^3):]
	}

	if !from || len(data) != Payload {
		return nil
	}
	return data
}
