//go:build linux

package turnload

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Transport is what a client reaches the server over (RFC 8656, section 3.1).
type Transport int

const (
	UDP Transport = iota
	TCP
	TLS
)

// streamRoom is how much a stream receives at a time, in bytes.
const streamRoom = 128 << 10

var errFraming = errors.New("neither STUN nor ChannelData")

// stream is a client's connection. Once it is open, its methods do not block.
type stream struct {
	client int
	wire   *wire
	secure *tls.Conn // nil: none
	in     []byte    // what has come, up to the next whole message
}

// protection is what clients over TLS ask every server for, so that all do the same work: TLS 1.2, the newest that
// coturn 4.6 has, and the cheapest cipher suite that is safe.
var protection = tls.Config{
	InsecureSkipVerify:          true,
	DynamicRecordSizingDisabled: true,
	MaxVersion:                  tls.VersionTLS12,
	CipherSuites:                []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
}

// openStream connects a client, and completes the TLS handshake if secure.
func openStream(client int, from [4]byte, to netip.AddrPort, secure bool) (*stream, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s := &stream{client: client, wire: &wire{fd: fd}, in: make([]byte, 0, streamRoom)}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), // as browsers do
		unix.Bind(fd, &unix.SockaddrInet4{Addr: from}),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	)
	if err == nil && secure {
		s.wire.raw = make([]byte, 0, streamRoom)
		// Each packet is a record, as for clients that write each packet by itself.
		s.secure = tls.Client(s.wire, protection.Clone())
		if err = s.secure.Handshake(); err != nil {
			err = fmt.Errorf("shake hands: %w", err)
		}
	}

	s.wire.open = true
	if err = errors.Join(err, unix.SetNonblock(fd, true)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect client %d to %s: %w", client, to, err)
	}
	return s, nil
}

// send writes messages of size bytes each, all in one call; with TLS, each in its own record.
func (s *stream) send(p []byte, size int) error {
	if s.secure == nil {
		s.wire.out = append(s.wire.out, p...)
		return s.wire.flush()
	}
	for len(p) > 0 {
		n := min(size, len(p))
		if _, err := s.secure.Write(p[:n]); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		p = p[n:]
	}

	return s.wire.flush()
}

// receive calls each for every whole message that has come, without its padding.
func (s *stream) receive(each func(message []byte)) error {
	if s.secure == nil {
		var err error
		s.in, err = s.wire.fill(s.in)
		if err != nil {
			return err
		}
		return s.parse(each)
	}

	var err error
	if s.wire.raw, err = s.wire.fill(s.wire.raw); err != nil {
		return err
	}
	for {
		n, err := s.secure.Read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		if errors.Is(err, errDry) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if err := s.parse(each); err != nil {
			return err
		}
	}
}

// parse calls each for the whole messages in s.in, and removes them (RFC 8489, section 6.2.2; RFC 8656, section 12.5).
func (s *stream) parse(each func([]byte)) error {
	rest := s.in
	for len(rest) >= 4 {
		n := 20 + int(binary.BigEndian.Uint16(rest[2:]))
		switch rest[0] >> 6 {
		case 0:
		case 1:
			n -= 16
		default:
			return fmt.Errorf("client %d: first byte %#02x: %w", s.client, rest[0], errFraming)
		}

		padded := (n + 3) &^ 3
		if padded > len(rest) {
			break
		}
		each(rest[:n])
		rest = rest[padded:]
	}

	s.in = s.in[:copy(s.in[:cap(s.in)], rest)]
	return nil
}

// wire is a connection as crypto/tls needs it. What is written waits for flush.
type wire struct {
	fd   int
	open bool   // the handshake is over: nothing blocks
	raw  []byte // what was received
	read int    // how much of raw was read
	out  []byte
}

// errDry means that nothing has come. crypto/tls reads again after it.
var errDry = &dry{}

type dry struct{}

func (*dry) Error() string   { return "nothing to read" }
func (*dry) Timeout() bool   { return true }
func (*dry) Temporary() bool { return true }

// Read returns what fill has received. During the handshake it waits for bytes itself.
func (w *wire) Read(p []byte) (int, error) {
	if !w.open {
		n, err := unix.Read(w.fd, p)
		if err == nil && n == 0 {
			err = net.ErrClosed
		}
		return max(n, 0), err
	}

	if w.read == len(w.raw) {
		w.raw, w.read = w.raw[:0], 0
		return 0, errDry
	}
	n := copy(p, w.raw[w.read:])
	w.read += n
	return n, nil
}

// fill adds to p what has come, as far as there is room.
func (w *wire) fill(p []byte) ([]byte, error) {
	n, err := unix.Read(w.fd, p[len(p):cap(p)])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return p, nil
	case err != nil:
		return p, fmt.Errorf("receive: %w", err)
	case n == 0:
		return p, fmt.Errorf("receive: the server closed the connection: %w", net.ErrClosed)
	}

	return p[:len(p)+n], nil
}

// Write keeps p until flush. During the handshake it sends p at once.
func (w *wire) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	if w.open {
		return len(p), nil
	}
	return len(p), w.flush()
}

// flush sends what the kernel takes. The rest waits for the next flush.
func (w *wire) flush() error {
	for len(w.out) > 0 {
		n, err := unix.Write(w.fd, w.out)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("send: %w", err)
		}
		w.out = w.out[:copy(w.out, w.out[max(n, 0):])]
	}
	return nil
}

func (w *wire) Close() error                     { return unix.Close(w.fd) }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) RemoteAddr() net.Addr             { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
