package turn

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

// message builds a STUN message whose attributes need not make sense.
func message(typ uint16, attributes string) []byte {
	a, err := hex.DecodeString(attributes)
	if err != nil {
		panic(err)
	}
	p := binary.BigEndian.AppendUint16(nil, typ)
	p = binary.BigEndian.AppendUint16(p, uint16(len(a)))
	p = append(p, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)

	return append(p, a...)
}

// TestMalformedMessagesDoNoHarm: messages that no client should send do not harm the server. The first of these would
// end the process, since pion reads beyond the end of a peer address that is cut short.
func TestMalformedMessagesDoNoHarm(t *testing.T) {
	s := serve(t, Config{})
	bad := map[string][]byte{
		"peer address empty":       message(0x0016, "00130004"+"00000000"+"00120000"),
		"peer address of one byte": message(0x0016, "0012000100000000"+"00130000"),
		"peer address of a name":   message(0x0016, "0012000800030000"+"7f000001"+"00130000"),
		"permission for one byte":  message(0x0008, "0012000100000000"),
		"permission for a name":    message(0x0008, "0012000800030000"+"7f000001"),
		"attribute cut short":      message(0x0016, "0013ffff"),
		"header only half":         message(0x0016, "")[:19],
		"another cookie":           append([]byte{0, 1, 0, 0}, make([]byte, 16)...),
		"response":                 message(0x0101, ""),
		"error response":           message(0x0111, "00090004"+"00000401"),
		"unknown method":           message(0x0fff&^0x0110, ""),
	}

	for _, over := range []string{"udp", "tcp"} {
		cam, view := pair(t, s, over, "udp")
		if code := cam.bind(0x4000, peerAt(view.relayed)); code != 0 {
			t.Fatal(code)
		}
		for name, p := range bad {
			if over == "tcp" && name == "header only half" {
				continue // on a stream it would be the start of the next message
			}
			t.Log(name, over)
			cam.write(p)
			cam.fence()
		}

		cam.sendChannel(0x5000, "nobody's channel")
		cam.sendChannel(0x4000, string(make([]byte, maxMessage+1)))
		cam.fence()
	}

	if n := s.Stats(); n.Packets != 0 || n.Drops["malformed"] != 19 || n.Drops["too_big"] != 2 ||
		n.Drops["no_channel"] != 2 {
		t.Errorf("%+v", n)
	}
}

// TestUnknownAttributesAreCopiedOnce: a request full of unknown attributes is copied once, not once for each. Anybody
// can send one, without a password.
func TestUnknownAttributesAreCopiedOnce(t *testing.T) {
	const many = (maxMessage - stunHeader) / 4
	p := message(typeRefresh, strings.Repeat("7ff00000", many))
	got := testing.AllocsPerRun(10, func() {
		var r request
		if !r.inspect(p, true) || len(r.unknown) != many {
			t.Fatal("the request was not parsed")
		}
	})
	if got > many/4 {
		t.Errorf("%v allocations for %d attributes", got, many)
	}
}

// TestStreamWithoutFramesEnds: a connection that carries neither STUN nor ChannelData is closed; one that carries
// either is read however it is cut.
func TestStreamWithoutFramesEnds(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s, "tcp", Credential{})
	c.write([]byte("\xffGET / HTTP/1.1\r\n"))
	if n, err := c.conn.Read(make([]byte, 1)); err != io.EOF && n != 0 {
		t.Errorf("read %d, %v", n, err)
	}

	c = dial(t, s, "tcp", Credential{})
	p := message(0x0001, "")
	for i := range p { // byte by byte, and two in one
		c.write(p[i : i+1])
	}

	c.next()
	c.write(append(bytes.Clone(p), p...))
	c.next()
	c.next()
}

// FuzzRequest: whatever arrives, nothing panics, and no answer is too long.
func FuzzRequest(f *testing.F) {
	f.Add(message(0x0003, "0019000411000000"))
	f.Add(message(0x0016, "00130004"+"00000000"+"00120000"))
	f.Add(message(0x0118, "00090004"+"00000401"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := &request{refusal: stun.CodeForbidden, key: []byte("k")}
		in := bytes.Clone(p)
		ok := r.inspect(in, true)
		if !bytes.Equal(in, p) {
			t.Error("message was changed")
		}

		if out := r.answer(p, "peephole"); len(out) > maxMessage && len(out) > len(p) {
			t.Errorf("answer of %d bytes", len(out))
		}
		n, err := frameLength(append(bytes.Clone(p), 0, 0, 0, 0)[:4])
		if err == nil && (n < 4 || n > 4+1<<16 && p[0]>>6 == 1) {
			t.Errorf("frame of %d bytes", n)
		}

		if !ok || len(p) < 20 || p[0]>>6 != 0 {
			return
		}
		m := &stun.Message{Raw: bytes.Clone(p)} // parsed as pion would
		if err := m.Decode(); err != nil {
			t.Fatalf("pion was shown a message that it cannot parse: %v", err)
		}
		var a stun.XORMappedAddress
		_ = a.GetFromAs(m, stun.AttrXORPeerAddress)
	})
}
