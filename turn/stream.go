package turn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// How long a connection may be silent, or refuse to take what is written to it.
const (
	idleWithout = 30 * time.Second // before it has an allocation; a TLS handshake is part of it
	idleWith    = 65 * time.Minute // longer than pion's longest allocation lifetime
	writeWait   = 10 * time.Second
)

var errFraming = errors.New("neither STUN nor ChannelData")

// streams is a TCP or TLS listener, as pion accepts from it.
type streams struct {
	net.Listener
	tls      *tls.Config // nil: plain TCP
	realm    string
	max      int
	counters *counters
	log      *slog.Logger
	closed   chan struct{}  // closed by Close
	ended    chan struct{}  // closed when pion's accept loop has been told so
	open     sync.WaitGroup // connections that pion has not closed yet

	mu    sync.Mutex
	conns map[netip.AddrPort]*stream // by client; none is added once closed is
}

func newStreams(l net.Listener, c *Config, tlsConfig *tls.Config, n *counters) *streams {
	return &streams{
		Listener: l,
		tls:      tlsConfig,
		realm:    c.Realm,
		max:      c.MaxConns,
		counters: n,
		log:      c.Logger,
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
		conns:    make(map[netip.AddrPort]*stream),
	}
}

// Accept returns the next connection, and an error only after Close: pion's accept loop ends at any.
func (l *streams) Accept() (net.Conn, error) {
	var wait backoff
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			if s := l.admit(c); s != nil {
				return s, nil
			}
			continue
		}
		if !errors.Is(err, net.ErrClosed) {
			l.log.Warn("accept connection", "error", errors.Unwrap(err)) // a *net.OpError, less its addresses
			if wait.after(l.closed) {
				continue
			}
		}
		close(l.ended)
		return nil, net.ErrClosed
	}
}

// admit takes c in, or closes it and returns nil: when there are too many, or when it comes from the address of one that
// lives, to another address of this host. pion would tell the two apart, and its handlers could not.
func (l *streams) admit(c net.Conn) *stream {
	s := &stream{Conn: c, listener: l, client: clientOf(c.RemoteAddr())}
	if l.tls != nil {
		s.Conn = tls.Server(c, l.tls)
	}
	s.in = bufio.NewReader(s.Conn)
	s.idle.Store(int64(idleWithout))
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
	default:
		if len(l.conns) < l.max && l.conns[s.client] == nil {
			l.conns[s.client] = s
			l.open.Add(1)
			l.counters.conns.Add(1)
			return s
		}
		l.counters.count(refusedConn)
	}
	c.Close()
	return nil
}

// Close ends the listener and every connection.
func (l *streams) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	default:
	}
	close(l.closed)
	for _, s := range l.conns {
		s.abort()
	}
	return l.Listener.Close()
}

func (l *streams) at(client netip.AddrPort) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[client]
}

func (l *streams) request(client netip.AddrPort) *request {
	if s := l.at(client); s != nil {
		return &s.current
	}
	return new(request) // the connection has just gone
}

func (l *streams) settle(client netip.AddrPort, has bool) {
	if s := l.at(client); s != nil {
		s.settle(has)
	}
}

func (l *streams) over() <-chan struct{} { return l.ended }

func (l *streams) wait() {
	<-l.ended
	l.open.Wait()
}

// stream is one client's connection. Each Read returns one whole message, so that pion handles every message before the
// next is read, as it does with datagrams.
type stream struct {
	net.Conn
	listener *streams
	client   netip.AddrPort
	in       *bufio.Reader
	current  request
	idle     atomic.Int64 // a time.Duration
	close    sync.Once
}

// Read returns the next message that pion shall see.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if err := s.SetReadDeadline(time.Now().Add(time.Duration(s.idle.Load()))); err != nil {
			return 0, err
		}
		header, err := s.in.Peek(4)
		if err != nil {
			return 0, err
		}
		n, err := frameLength(header)
		if err != nil {
			s.listener.counters.count(dropMalformed)
			return 0, err
		}
		if n > maxMessage || n > len(p) {
			s.listener.counters.count(dropTooBig)
			if _, err := s.in.Discard(n); err != nil {
				return 0, err
			}
			continue
		}
		if _, err := io.ReadFull(s.in, p[:n]); err != nil {
			return 0, err
		}
		if s.current.read(p[:n]) {
			return n, nil
		}
		s.listener.counters.count(dropMalformed)
	}
}

// frameLength returns the length of the message that starts with these 4 bytes, padding included: STUN frames itself
// (RFC 8489 section 6.2.2), ChannelData is padded to 4 bytes over a stream (RFC 8656 section 12.5).
func frameLength(header []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(header[2:]))
	switch header[0] >> 6 {
	case 0:
		return 20 + n, nil
	case 1:
		return 4 + (n+3)&^3, nil
	}
	return 0, fmt.Errorf("first byte %#02x: %w", header[0], errFraming)
}

// Write sends one message, which answers the current request or is relayed. A client that takes nothing for writeWait is
// cut off: what was written in part could not be mended.
func (s *stream) Write(p []byte) (int, error) {
	err := s.SetWriteDeadline(time.Now().Add(writeWait))
	if err == nil {
		_, err = s.Conn.Write(s.current.answer(p, s.listener.realm))
	}
	if err != nil {
		s.abort()
		return 0, err
	}
	return len(p), nil
}

// settle sets for how long the client may be silent, from now on.
func (s *stream) settle(has bool) {
	idle := idleWithout
	if has {
		idle = idleWith
	}
	s.idle.Store(int64(idle))
	s.SetReadDeadline(time.Now().Add(idle))
}

// abort ends the connection under pion, which then closes it. A TLS goodbye could block, so there is none.
func (s *stream) abort() {
	if c, ok := s.Conn.(interface{ NetConn() net.Conn }); ok {
		c.NetConn().Close()
		return
	}
	s.Conn.Close()
}

// Close is pion's last word on the connection.
func (s *stream) Close() error {
	s.close.Do(func() {
		s.abort()
		s.listener.mu.Lock()
		delete(s.listener.conns, s.client)
		s.listener.mu.Unlock()
		s.listener.counters.conns.Add(-1)
		s.listener.open.Done()
	})
	return nil
}
