package server

import (
	"bufio"
	"encoding/binary"
	"net"
	"net/http"
)

// meter is a client's connection below its WebSocket. It counts the WebSocket frames that arrive (RFC 6455, section
// 5.2) and pays for them before they are handled. The WebSocket library handles pings, pongs and empty fragments itself
// and does not report them, although one of only six bytes costs as much work as a small message.
type meter struct {
	net.Conn
	pay func(frames int64) bool // reports whether the connection stays up; set before the first Read

	owed   int64    // frames that arrived with the handshake
	header [14]byte // of the arriving frame; has room for the longest
	have   int      // how many bytes of the header have arrived
	left   uint64   // how many bytes of the frame's payload are still to come
}

// Read implements net.Conn.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	frames := m.owed + m.count(p[:n])
	m.owed = 0

	if frames > 0 && !m.pay(frames) {
		return 0, net.ErrClosed
	}
	return n, err
}

// count returns how many frame headers end in p, which continues the stream where the last call ended.
func (m *meter) count(p []byte) (frames int64) {
	for len(p) > 0 {
		if m.left > 0 {
			skip := min(m.left, uint64(len(p)))
			p, m.left = p[skip:], m.left-skip
			continue
		}

		m.header[m.have] = p[0]
		p, m.have = p[1:], m.have+1
		if payload, whole := payloadOf(m.header[:m.have]); whole {
			m.left, m.have = payload, 0
			frames++
		}
	}
	return frames
}

// payloadOf returns the length of a frame's payload, once its header is whole.
func payloadOf(header []byte) (n uint64, whole bool) {
	if len(header) < 2 {
		return 0, false
	}

	const masked, lengthBits, maskSize = 0x80, 0x7f, 4
	extended := map[byte]int{126: 2, 127: 8}[header[1]&lengthBits]
	size := 2 + extended
	if header[1]&masked != 0 {
		size += maskSize
	}

	if len(header) < size {
		return 0, false
	}
	switch extended {
	case 2:
		return uint64(binary.BigEndian.Uint16(header[2:])), true
	case 8:
		return binary.BigEndian.Uint64(header[2:]), true
	}

	return uint64(header[1] & lengthBits), true
}

// metered puts a meter on the connection of a request when the WebSocket takes it over.
type metered struct {
	http.ResponseWriter
	meter *meter
}

// Hijack implements http.Hijacker.
func (w metered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}

	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered()) // cannot fail, because that much is buffered
	w.meter.Conn, w.meter.owed = conn, w.meter.count(early)
	return w.meter, buffered, nil
}
