package turn

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v3"
)

func TestSegmentsAreCutWhereTheyWereJoined(t *testing.T) {
	for _, row := range []struct {
		length, size int
		want         []int
	}{
		{0, 0, nil}, {0, 7, nil}, {1, 0, []int{1}}, {7, 7, []int{7}}, {8, 7, []int{7, 1}}, {13, 5, []int{5, 5, 3}},
		{3, 1, []int{1, 1, 1}}, {6, 100, []int{6}}, {6, -1, []int{6}},
	} {
		p := make([]byte, row.length)
		for i := range p {
			p[i] = byte(i)
		}
		var got []byte
		n := 0

		for s := range segments(p, row.size) {
			if n >= len(row.want) || len(s) != row.want[n] {
				t.Fatalf("%d bytes by %d: segment %d of %d bytes, want %v", row.length, row.size, n, len(s), row.want)
			}
			got, n = append(got, s...), n+1
		}

		if n != len(row.want) || !bytes.Equal(got, p) {
			t.Errorf("%d bytes by %d: %d segments, want %v", row.length, row.size, n, row.want)
		}
	}
}

// FuzzForward: whatever arrives, joined however, nothing panics. What passes is data sent to the only peer, as another
// parser reads it.
func FuzzForward(f *testing.F) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(f, r, 1, camera), bound(f, r, 1, viewer)
	bound(f, r, 2, viewer)
	for _, a := range []*allocation{cam, view} {
		a.setPermission(view.host, true)
		a.setPermission(cam.host, true)
	}

	cam.addChannel(view.host, 0x4000)
	send := message(0x0016, "00120008"+"0001e113"+"e700a440"+"00130003"+"61626300")
	f.Add(send, uint16(len(send)), true)
	f.Add(append([]byte{0x40, 0, 0, 3, 1, 2, 3, 0}, 0x40, 0, 0, 1, 9), uint16(8), false)
	f.Add([]byte{0x40, 0, 0xff, 0xff, 1}, uint16(0), true)
	f.Fuzz(func(t *testing.T, p []byte, size uint16, channel bool) {
		if channel {
			view.addChannel(cam.host, 0x4fff)
			defer view.removeChannel(0x4fff)
		}
		before := bytes.Clone(p)
		var out kept
		at := 0

		for s := range segments(p, int(size)) {
			out.packets = out.packets[:0]
			r.forward(cam, s, &out)
			was := before[at : at+len(s)]
			at += len(s)
			if len(out.packets) == 0 {
				continue
			}

			m := out.packets[0]
			data := m.body
			if len(m.head) == 0 {
				data = data[channelHeader:]
			}

			got := sentTo(was, view)
			same := got != nil && bytes.Equal(got, data) && m.payload == len(data)
			if !same || out.to[0] != view.bound.Load() {
				t.Fatalf("%x passed as %x, want %x", was, data, got)
			}
		}

		if at != len(before) {
			t.Errorf("the segments have %d bytes of %d", at, len(before))
		}
	})
}

// sentTo returns the data that a message carries to an allocation, nil if it carries none.
func sentTo(p []byte, to *allocation) []byte {
	if p[0] == 0x40 && p[1] == 0 {
		n := int(p[2])<<8 | int(p[3])
		if n > len(p)-4 {
			return nil
		}
		return p[4:][:n]
	}

	m := &stun.Message{Raw: bytes.Clone(p)}
	var peer stun.XORMappedAddress
	if m.Decode() != nil {
		return nil
	}
	if v, err := m.Get(stun.AttrXORPeerAddress); err == nil && len(v) > 0 {
		v[0] = 0 // a receiver must ignore this byte (RFC 8489 section 14.2), but this one does not
	}

	if peer.GetFromAs(m, stun.AttrXORPeerAddress) != nil || peer.String() != addressOf(to.host).String() {
		return nil
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		return nil
	}
	return append([]byte{}, data...)
}
