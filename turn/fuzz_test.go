package turn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

// script is a connection on which a client has already sent everything.
type script struct {
	net.Conn
	in    *bytes.Reader
	piece int // most bytes per Read; 0: no limit
}

func (s script) Read(p []byte) (int, error) {
	if s.piece > 0 {
		p = p[:min(len(p), s.piece)]
	}
	return s.in.Read(p)
}

func (s script) SetReadDeadline(time.Time) error { return nil }

// FuzzStream: a stream returns whole messages as they were sent, none of them too long, and ends at the first that is
// neither STUN nor ChannelData.
func FuzzStream(f *testing.F) {
	binding := message(0x0001, "")
	f.Add(append(bytes.Clone(binding), binding...), uint16(1500))
	f.Add(append([]byte{0x40, 0, 0, 3, 1, 2, 3, 0}, binding...), uint16(1500))
	f.Add([]byte{0x40, 0, 0xff, 0xff, 1}, uint16(8))
	f.Add([]byte("\xffGET / HTTP/1.1\r\n"), uint16(1500))
	f.Add(message(0x0016, "00120000"), uint16(20))
	f.Add(append(append([]byte{0x40, 0, 0x07, 0xc0}, make([]byte, 0x7c0)...), binding...), uint16(1999))

	f.Fuzz(func(t *testing.T, said []byte, room uint16) {
		var n counters
		l := &streams{counters: &n, realm: "peephole", relay: newRelay(Config{MaxAllocations: 1}.withDefaults(), &n)}
		l.outlets.New = func() any { return new(kept) }
		c := script{in: bytes.NewReader(said)}
		s := &stream{Conn: c, listener: l, client: netip.AddrPort{}, in: bufio.NewReader(c)}
		p := make([]byte, int(room)%2000)
		rest := said

		for {
			n, err := s.Read(p)
			if err != nil {
				if n != 0 {
					t.Errorf("%d bytes and %v", n, err)
				}
				return
			}

			if n < 4 || n > maxMessage || n > len(p) {
				t.Fatalf("a message of %d bytes, room for %d", n, len(p))
			}
			for { // skip the messages that were dropped before it
				if len(rest) < 4 || rest[0] >= 0x80 {
					t.Fatalf("%x was never sent", p[:n])
				}
				size := 20 + int(rest[2])<<8 + int(rest[3]) // RFC 8489, section 5
				if rest[0] >= 0x40 {
					size = 4 + (int(rest[2])<<8+int(rest[3])+3)/4*4 // RFC 8656, section 12.5
				}

				if size > len(rest) {
					t.Fatalf("%x was never sent", p[:n])
				}
				whole := bytes.Clone(rest[:size])

				// CreatePermission or ChannelBind, of who has no allocation
				if t := binary.BigEndian.Uint16(whole); t == 0x0008 || t == 0x0009 {
					binary.BigEndian.PutUint16(whole, typeRefresh)
				}
				if rest = rest[size:]; bytes.Equal(whole, p[:n]) {
					break
				}
			}
		}
	})
}
