package evilcloud

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// carried is a message with a peer's data in it: ChannelData (RFC 8656, section 12.4) or a Data indication (section
// 11.7).
type carried struct {
	channel    uint16 // 0: an indication
	indication *stun.Message
	peer       netip.AddrPort
}

func readMedia(packet []byte) *carried {
	if len(packet) >= 4 && packet[0]&0xc0 == 0x40 {
		return &carried{channel: binary.BigEndian.Uint16(packet)}
	}
	m := &stun.Message{Raw: packet}
	if !stun.IsMessage(packet) || m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return nil
	}

	peer, ok := readAddress(m, stun.AttrXORPeerAddress)
	if !ok {
		return nil
	}
	return &carried{indication: m, peer: peer}
}

func readAddress(m *stun.Message, attribute stun.AttrType) (netip.AddrPort, bool) {
	var a stun.XORMappedAddress
	if a.GetFromAs(m, attribute) != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port)), ok
}

// readReply reads an answer to a request about an allocation, and keeps the relayed address that it names.
func readReply(packet []byte, c *client) (method stun.Method, id transaction, ok bool) {
	m := &stun.Message{Raw: packet}
	if !stun.IsMessage(packet) || m.Decode() != nil {
		return 0, id, false
	}
	switch m.Type.Method {
	case stun.MethodAllocate, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodRefresh:
	default:
		return 0, id, false
	}

	if relayed, ok := readAddress(m, stun.AttrXORRelayedAddress); ok {
		c.relayed = relayed
	}
	return m.Type.Method, m.TransactionID, m.Type.Class == stun.ClassSuccessResponse ||
		m.Type.Class == stun.ClassErrorResponse
}

// isMedia reports whether a packet to a TURN client has RTP in it (RFC 7983).
func isMedia(packet []byte) bool {
	m := readMedia(packet)
	if m == nil {
		return false
	}
	if m.channel != 0 {
		return isRTP(packet[4:])
	}

	data, err := m.indication.Get(stun.AttrData)
	return err == nil && isRTP(data)
}

// isRTP tells RTP from RTCP, DTLS and STUN (RFC 5761, section 4; RFC 7983).
func isRTP(p []byte) bool {
	return len(p) > 12 && p[0]&0xc0 == 0x80 && (p[1] < 192 || p[1] > 223)
}

// fits reports whether another client would take such a message for its own, once it is rewritten.
func (m *carried) fits(other *client) bool {
	if m.channel != 0 {
		return other.channel != 0
	}
	return other.peer.IsValid()
}

// rewritten returns the packet as its receiver would have got it from its own peer.
func (m *carried) rewritten(packet []byte, to *client) []byte {
	if m.channel != 0 {
		binary.BigEndian.PutUint16(packet, to.channel)
		return packet
	}
	data, err := m.indication.Get(stun.AttrData)
	if err != nil {
		return packet
	}

	peer := stun.XORMappedAddress{IP: to.peer.Addr().AsSlice(), Port: int(to.peer.Port())}
	again, err := stun.Build(m.indication.Type, stun.NewTransactionIDSetter(m.indication.TransactionID),
		xorPeer(peer), stun.RawAttribute{Type: stun.AttrData, Value: data})
	if err != nil {
		return packet
	}
	return again.Raw
}

// xorPeer adds an XOR-PEER-ADDRESS.
type xorPeer stun.XORMappedAddress

// AddTo implements stun.Setter.
func (p xorPeer) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(p).AddToAs(m, stun.AttrXORPeerAddress)
}
