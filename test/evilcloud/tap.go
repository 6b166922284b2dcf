package evilcloud

import (
	"bytes"
	"io"
	"net"
)

// tap records what the connections of a listener receive and send. It unmasks what clients send in WebSocket frames, as
// the relay does.
type tap struct {
	net.Listener
	to io.Writer
}

func (t tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: c, to: t.to, unmask: unmasker{to: t.to}}, nil
}

type tapped struct {
	net.Conn
	to     io.Writer
	unmask unmasker
}

func (t *tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.unmask.write(b[:n])
	return n, err
}

func (t *tapped) Write(b []byte) (int, error) {
	_, _ = t.to.Write(b)
	return t.Conn.Write(b)
}

// unmasker follows the WebSocket frames of a client (RFC 6455, section 5.2) and passes on their payloads. It passes on
// everything else, before the first frame or without any, as it is.
type unmasker struct {
	to       io.Writer
	buffer   []byte
	upgraded bool
}

func (u *unmasker) write(b []byte) {
	u.buffer = append(u.buffer, b...)
	for !u.upgraded {
		end := bytes.Index(u.buffer, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		head := u.buffer[:end]
		_, _ = u.to.Write(head)
		u.upgraded = bytes.Contains(bytes.ToLower(head), []byte("upgrade: websocket"))
		u.buffer = u.buffer[end+4:]
	}

	for {
		n := u.frame()
		if n == 0 {
			return
		}
		u.buffer = u.buffer[n:]
	}
}

// frame records one whole frame and returns its size, or 0 while it is incomplete.
func (u *unmasker) frame() int {
	if len(u.buffer) < 2 {
		return 0
	}
	head, size := 2, int(u.buffer[1]&0x7f)
	switch size {
	case 126:
		if head = 4; len(u.buffer) < head {
			return 0
		}
		size = int(u.buffer[2])<<8 | int(u.buffer[3])
	case 127:
		if head = 10; len(u.buffer) < head {
			return 0
		}
		size = int(u.buffer[6])<<24 | int(u.buffer[7])<<16 | int(u.buffer[8])<<8 | int(u.buffer[9])
	}

	if len(u.buffer) < head+4+size {
		return 0
	}
	mask, payload := u.buffer[head:head+4], bytes.Clone(u.buffer[head+4:head+4+size])
	for i := range payload {
		payload[i] ^= mask[i%4]
	}

	_, _ = u.to.Write(payload)
	return head + 4 + size
}
