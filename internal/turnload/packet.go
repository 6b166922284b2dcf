//go:build linux

package turnload

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// Payload is how many bytes a packet brings to the other end.
const Payload = 1200

// mark begins every payload; then come its flow, its number in that flow and when it was sent, in Unix nanoseconds.
const mark = 0x7475726e

// header is how many bytes stand before the payload on its way to the server.
func (m means) header() int {
	if m == channels {
		return 4
	}
	return 20 + 12 + 4 // STUN, XOR-PEER-ADDRESS, the head of DATA
}

// putBurst puts together packets of flow i, numbered from first, and returns how many bytes they are, and each is.
func (l *Load) putBurst(p []byte, i, burst int, first uint32, now int64) (length, size int) {
	h := l.by.header()
	size = h + Payload
	for b := range burst {
		m := p[b*size : (b+1)*size]
		if l.by == channels {
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

// putSend writes the head of a Send indication. Its transaction ID need not be random: nothing answers it.
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

// payload is what a message of the server's brings: by the means that l sends by, from the client's one peer. Else nil.
func (l *Load) payload(m []byte, client int) []byte {
	if len(m) < 4 {
		return nil
	}
	if m[0]>>6 == 1 { // ChannelData
		n := int(binary.BigEndian.Uint16(m[2:]))
		if l.by != channels || binary.BigEndian.Uint16(m) != channel || n != Payload || len(m) != 4+n {
			return nil
		}
		return m[4:]
	}
	if l.by != indications || len(m) < 20 || stun.NewType(stun.MethodData, stun.ClassIndication).Value() != binary.BigEndian.Uint16(m) {
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
