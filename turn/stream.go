package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// How long a connection may be silent, or refuse to take what is written to it.
const (
	idleWithout = 30 * time.Second // before it has an allocation
	idleWith    = 65 * time.Minute // longer than pion's longest allocation lifetime
	writeWait   = 10 * time.Second
)

// busyBuffer is how much a stream reads at a time once it is busier than most, in bytes: a TLS record. Before that it
// is bufio's 4 KiB.
const busyBuffer = 16 << 10

var (
	errFraming = errors.New("neither STUN nor ChannelData")
	errTries   = errors.New("too many messages and no allocation")
)

// stream is one client's connection. It relays the packets that it reads, and each Read returns one request, so that
// pion handles every request before the next message is read, as it does with datagrams.
type stream struct {
	net.Conn
	listener   *streams
	client     netip.AddrPort
	in         *bufio.Reader
	busy       bool   // more came than in has room for
	out        outlet // nil while there is nothing to send
	queue      queue
	allocation atomic.Pointer[allocation]
	current    request
	idle       atomic.Int64 // a time.Duration
	read       deadline
	write      deadline
	close      sync.Once
	tries      int // messages since there was an allocation; only the reader uses it
}

// Read returns the next message for pion, and relays the packets before it.
func (s *stream) Read(p []byte) (int, error) {
	n := s.listener.counters
	for taken := 0; ; {
		message, err := s.nextMessage(&taken)
		if err != nil {
			return 0, err
		}
		a := s.allocation.Load()
		if !s.countTry(a) {
			n.count(dropRequestRate)
			return 0, errTries
		}

		switch {
		case len(message) > len(p):
			n.count(dropTooBig)
		case s.listener.relay.forward(a, message, s.borrowOutlet()):
		case !s.listener.relay.requests.allow(a, s.client.Addr(), time.Now()):
			n.count(dropRequestRate)
			if a == nil {
				return 0, errTries
			}
		case s.current.inspect(message, a != nil):
			return copy(p, message), s.release(&taken)
		default:
			n.count(dropMalformed)
		}
	}
}

// countTry counts a message of a client without an allocation, and reports whether the client may go on trying to get
// one.
func (s *stream) countTry(a *allocation) bool {
	if a != nil {
		s.tries, s.current.failures = 0, 0
		return true
	}
	s.tries++
	return s.tries <= maxTries && s.current.failures < maxFailures
}

// nextMessage returns the next message that is not too long, where it lies in the buffer. taken is how much of the
// buffer was returned before. That much stays in place as long as the next message is in the buffer too, so that
// several are sent at once.
func (s *stream) nextMessage(taken *int) ([]byte, error) {
	for {
		header, err := s.peek(taken, 4)
		if err != nil {
			return nil, err
		}
		n, err := frameLength(header)
		if err != nil {
			s.listener.counters.count(dropMalformed)
			return nil, err
		}

		if n <= maxMessage {
			message, err := s.peek(taken, n)
			*taken += n
			return message, err
		}
		s.listener.counters.count(dropTooBig)
		if err := s.skip(taken, n); err != nil {
			return nil, err
		}
	}
}

// skip discards the next n bytes, which the buffer need not hold.
func (s *stream) skip(taken *int, n int) error {
	if err := s.release(taken); err != nil {
		return err
	}
	if err := s.extendReadDeadline(); err != nil {
		return err
	}
	_, err := s.in.Discard(n)
	return err
}

// peek returns the next n bytes after those taken. If it has to wait for them, it releases what is taken first.
func (s *stream) peek(taken *int, n int) ([]byte, error) {
	if s.in.Buffered() < *taken+n {
		if err := s.release(taken); err != nil {
			return nil, err
		}
		if s.in.Buffered() < n {
			if err := s.extendReadDeadline(); err != nil {
				return nil, err
			}
		}
	}

	p, err := s.in.Peek(*taken + n)
	if err != nil {
		return nil, err
	}
	s.busy = s.busy || s.in.Buffered() == s.in.Size()
	return p[*taken:], nil
}

// extendReadDeadline gives the client its idle time from now on.
func (s *stream) extendReadDeadline() error {
	return s.read.extend(s.SetReadDeadline, time.Duration(s.idle.Load()))
}

// borrowOutlet returns an outlet that the stream keeps until release: most streams are idle, and an outlet is large.
func (s *stream) borrowOutlet() outlet {
	if s.out == nil {
		s.out = s.listener.outlets.Get().(outlet)
	}
	return s.out
}

// release sends the packets in the outlet, and frees the part of the buffer that is taken.
func (s *stream) release(taken *int) error {
	if s.out != nil {
		s.out.flush()
		s.listener.outlets.Put(s.out)
		s.out = nil
	}

	_, err := s.in.Discard(*taken)
	*taken = 0
	if s.busy && s.in.Size() < busyBuffer {
		s.in = bufio.NewReaderSize(s.in, busyBuffer)
	}
	return err
}

// frameLength returns the length of the message that starts with these 4 bytes, including padding: STUN frames itself
// (RFC 8489 section 6.2.2), and ChannelData is padded to 4 bytes on a stream (RFC 8656 section 12.5).
func frameLength(header []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(header[2:]))
	switch header[0] >> 6 {
	case 0:
		return stunHeader + n, nil
	case 1:
		return channelHeader + padded(n), nil
	}
	return 0, fmt.Errorf("first byte %#02x: %w", header[0], errFraming)
}

// Write sends one message: the answer to the current request. A client that takes nothing for writeWait is cut off,
// since a message written in part could not be mended.
func (s *stream) Write(p []byte) (int, error) {
	s.current.undoReservation()
	if err := s.writeAll(s.current.answer(p, s.listener.realm)); err != nil {
		s.abort()
		return 0, err
	}
	return len(p), nil
}

// writeAll writes p within writeWait.
func (s *stream) writeAll(p []byte) error {
	if err := s.write.extend(s.SetWriteDeadline, writeWait); err != nil {
		return err
	}
	_, err := s.Conn.Write(p)
	return err
}

// setAllocated sets how long the client may be silent from now on. If it has no allocation, its listener gets the place
// back.
func (s *stream) setAllocated(has bool) {
	idle := idleWithout
	if has {
		idle = idleWith
	}
	s.idle.Store(int64(idle))
	_ = s.extendReadDeadline() // fails on a connection that has ended, which needs none

	if g, ok := s.Conn.(guest); ok && !has {
		g.Dismiss()
	}
}

// abort ends the connection under pion, which then closes it. It sends no TLS goodbye, which could block.
func (s *stream) abort() {
	if c, ok := s.Conn.(interface{ NetConn() net.Conn }); ok {
		c.NetConn().Close()
		return
	}
	s.Conn.Close()
}

// Close is called by pion when it is done with the connection.
func (s *stream) Close() error {
	s.close.Do(func() {
		s.abort()
		s.queue.close()
		s.listener.unregister(s)
	})
	return nil
}
