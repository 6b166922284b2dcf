//go:build linux

package turnload

import (
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// streamCrowd is the connections of all clients that use TCP or TLS.
type streamCrowd struct {
	streams []*stream // by client; nil: it uses UDP
	all     bool      // no client uses UDP
	poll    int       // epoll(7)
	ready   [256]unix.EpollEvent
	stuck   []*stream // those with bytes that the kernel has not taken yet
}

// connectStreams connects every client that uses TCP or TLS, on the caller's thread, and so in its network namespace.
func connectStreams(l *Load) (*streamCrowd, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open epoll: %w", err)
	}
	c := &streamCrowd{streams: make([]*stream, len(l.clients)), all: true, poll: poll}
	for i := range c.streams {
		by := l.config.transport(i)
		if by == UDP {
			c.all = false
			continue
		}
		to := l.config.Plain
		if by == TLS {
			to = l.config.Secure
		}

		s, err := openStream(i, l.address(i), to, by == TLS)
		if err != nil {
			c.close()
			return nil, err
		}
		c.streams[i] = s
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)} // our own number instead of a descriptor
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, s.wire.fd, &event); err != nil {
			c.close()
			return nil, fmt.Errorf("add to epoll: %w", err)
		}
	}

	return c, nil
}

func (c *streamCrowd) close() {
	for _, s := range c.streams {
		if s != nil {
			s.wire.Close()
		}
	}
	unix.Close(c.poll)
}

// send writes messages of size bytes each on a client's connection.
func (c *streamCrowd) send(client int, p []byte, size int) error {
	s := c.streams[client]
	waited := len(s.wire.out) > 0
	if err := s.send(p, size); err != nil {
		return fmt.Errorf("client %d: %w", client, err)
	}
	if !waited && len(s.wire.out) > 0 {
		c.stuck = append(c.stuck, s)
	}

	return nil
}

// receive calls each for every message that has come, with its client.
func (c *streamCrowd) receive(each func(client int, message []byte)) error {
	still := c.stuck[:0]
	for _, s := range c.stuck {
		if err := s.wire.flush(); err != nil {
			return fmt.Errorf("client %d: %w", s.client, err)
		}
		if len(s.wire.out) > 0 {
			still = append(still, s)
		}
	}

	c.stuck = still
	n, err := unix.EpollWait(c.poll, c.ready[:], 0)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("poll: %w", err)
	}
	for _, e := range c.ready[:max(n, 0)] {
		s := c.streams[e.Fd]
		if err := s.receive(func(message []byte) { each(s.client, message) }); err != nil {
			return fmt.Errorf("client %d: %w", s.client, err)
		}
	}

	return nil
}

var errProtection = errors.New("clients are protected differently")

// Protection returns the TLS version and cipher suite that all clients over TLS have agreed on with the server; empty
// if none uses TLS.
func (l *Load) Protection() (string, error) {
	said := ""
	if l.crowd == nil {
		return "", nil
	}
	for _, s := range l.crowd.streams {
		if s == nil || s.secure == nil {
			continue
		}
		state := s.secure.ConnectionState()
		now := tls.VersionName(state.Version) + " with " + tls.CipherSuiteName(state.CipherSuite)
		if said != "" && now != said {
			return "", fmt.Errorf("%s and %s: %w", said, now, errProtection)
		}
		said = now
	}

	return said, nil
}
