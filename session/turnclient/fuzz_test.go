package turnclient

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzFutile: only requests for permissions that the relay would refuse are held back, whatever a TURN client writes,
// and nothing is changed.
func FuzzFutile(f *testing.F) {
	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	for _, peer := range []string{"198.18.0.1", "192.0.2.1", "2001:db8::1", "::ffff:198.18.0.1"} {
		f.Add(stun.MustBuild(permission, peerAddress(peer)).Raw)
		f.Add(stun.MustBuild(permission, peerAddress("198.18.0.1"), peerAddress(peer)).Raw)
	}

	f.Add(stun.MustBuild(stun.BindingRequest).Raw)
	f.Add(stun.MustBuild(permission, &stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: []byte{0}}).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if got := futile(b); got && !outside(before) {
			t.Error("held back although it does not ask for an address outside the relay")
		}
		if !bytes.Equal(b, before) {
			t.Error("the message was changed")
		}
	})
}

// outside reports whether b may be a CreatePermission with an XOR-PEER-ADDRESS that is not a relayed one, by the bytes
// of RFC 8489.
func outside(b []byte) bool {
	if len(b) < 20 || b[0] != 0 || b[1] != 0x08 {
		return false
	}
	for a := b[20:]; len(a) >= 4; {
		kind, size := binary.BigEndian.Uint16(a), int(binary.BigEndian.Uint16(a[2:]))
		if size > len(a)-4 {
			return false
		}
		value := bytes.Clone(a[4 : 4+size])
		if kind == 0x0012 && size != 8 && size != 20 {
			return true // not the size of an address
		}

		if kind == 0x0012 {
			for i := range value[4:] {
				value[4+i] ^= b[4+i%16]
			}
			ip, ok := netip.AddrFromSlice(value[4:])
			if !ok || ip.Is4() != (value[1] == 1) || !RelayedAddresses.Contains(ip.Unmap()) {
				return true
			}
		}
		a = a[min(len(a), 4+(size+3)&^3):]
	}

	return false
}
