package turn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
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

	// deadlineSlack is how much sooner than that a deadline may come: to set one for every read and write would cost a good part of it.
	deadlineSlack = time.Second
)

// busyBuffer is what a stream reads at a time once it has more to say than most, in bytes: a TLS record. Before it is bufio's 4 KiB.
const busyBuffer = 16 << 10

var errFraming = errors.New("neither STUN nor ChannelData")

// streams is a TCP or TLS listener, as pion accepts from it.
type streams struct {
	net.Listener
	tls      *tls.Config // nil: plain TCP
	realm    string
	max      int
	queue    int // messages that may wait for a client
	relay    *relay
	outlets  sync.Pool // of outlet
	counters *counters
	log      *slog.Logger
	closed   chan struct{}  // closed by Close
	ended    chan struct{}  // closed when pion's accept loop has been told so
	open     sync.WaitGroup // connections that pion has not closed yet, and writers

	mu    sync.Mutex
	conns map[netip.AddrPort]*stream // by client; none is added once closed is
}

func newStreams(l net.Listener, c *Config, tlsConfig *tls.Config, r *relay, s sockets) *streams {
	return &streams{
		Listener: l,
		tls:      tlsConfig,
		realm:    c.Realm,
		max:      c.MaxConns,
		queue:    c.Queue,
		relay:    r,
		outlets:  sync.Pool{New: func() any { return s.outlet() }},
		counters: r.counters,
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
		// pion is going to close what is allocated, and must not while a connection's reader is at a permission for it.
		<-l.closed
		l.open.Wait()
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

func (l *streams) allocation(client netip.AddrPort) *allocation {
	if s := l.at(client); s != nil {
		return s.allocation.Load()
	}
	return nil
}

func (l *streams) reach(b *binding) { b.stream = l.at(b.client()) }

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

// stream is one client's connection. It relays what it reads, and each Read returns one request, so that pion handles every
// request before the next message is read, as it does with datagrams.
type stream struct {
	net.Conn
	listener   *streams
	client     netip.AddrPort
	in         *bufio.Reader
	busy       bool   // more came than in has room for
	out        outlet // nil while nothing is to be sent
	queue      queue
	allocation atomic.Pointer[allocation]
	current    request
	idle       atomic.Int64 // a time.Duration
	read       deadline
	write      deadline
	close      sync.Once
}

// Read returns the next message that pion shall see.
func (s *stream) Read(p []byte) (int, error) {
	n := s.listener.counters
	for taken := 0; ; {
		message, err := s.next(&taken)
		if err != nil {
			return 0, err
		}
		switch {
		case len(message) > len(p):
			n.count(dropTooBig)
		case s.listener.relay.forward(s.allocation.Load(), message, s.outlet()):
		case s.current.read(message, s.allocation.Load() != nil):
			return copy(p, message), s.skip(&taken)
		default:
			n.count(dropMalformed)
		}
	}
}

// next returns the next message that is not too long, as it lies in the buffer. taken is how much of the buffer has been
// returned before: that stays where it is for as long as the next is there too, so that several are sent at once.
func (s *stream) next(taken *int) ([]byte, error) {
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
		if n > maxMessage {
			s.listener.counters.count(dropTooBig)
			if err := s.skip(taken); err != nil {
				return nil, err
			}
			if err := s.hurry(); err != nil {
				return nil, err
			}
			if _, err := s.in.Discard(n); err != nil {
				return nil, err
			}
			continue
		}
		message, err := s.peek(taken, n)
		*taken += n
		return message, err
	}
}

// peek returns the next n bytes behind what is taken. If they have to be waited for, what is taken is sent first.
func (s *stream) peek(taken *int, n int) ([]byte, error) {
	if s.in.Buffered() < *taken+n {
		if err := s.skip(taken); err != nil {
			return nil, err
		}
		if s.in.Buffered() < n {
			if err := s.hurry(); err != nil {
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

// hurry says for how long the client may be silent.
func (s *stream) hurry() error {
	return s.read.extend(s.SetReadDeadline, time.Duration(s.idle.Load()))
}

// deadline is one of a connection's, which is moved on only where that makes more than deadlineSlack of a difference.
type deadline struct {
	at atomic.Int64 // when it was set to, in Unix nanoseconds
}

// extend has it be that far from now. A clock that is put back sets it anew.
func (d *deadline) extend(set func(time.Time) error, by time.Duration) error {
	to := time.Now().Add(by)
	if lag := to.UnixNano() - d.at.Load(); lag >= 0 && lag < int64(deadlineSlack) {
		return nil
	}
	d.at.Store(to.UnixNano())
	return set(to)
}

// outlet is lent until skip: most streams are idle, and an outlet is large.
func (s *stream) outlet() outlet {
	if s.out == nil {
		s.out = s.listener.outlets.Get().(outlet)
	}
	return s.out
}

// skip sends and is done with what was taken.
func (s *stream) skip(taken *int) error {
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
	err := s.write.extend(s.SetWriteDeadline, writeWait)
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
	_ = s.hurry() // a connection that has ended needs none
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
		s.queue.end()
		s.listener.mu.Lock()
		delete(s.listener.conns, s.client)
		s.listener.mu.Unlock()
		s.listener.counters.conns.Add(-1)
		s.listener.open.Done()
	})
	return nil
}
