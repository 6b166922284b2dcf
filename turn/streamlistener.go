package turn

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/peephole-cam/peephole/netlimit"
)

// streams is a listener of Config.Streams, as pion accepts from it.
type streams struct {
	net.Listener
	realm    string
	max      int
	queue    int // messages that may wait for a client
	relay    *relay
	outlets  sync.Pool // of outlet
	counters *counters
	log      *slog.Logger
	closed   chan struct{}  // closed by Close
	ended    chan struct{}  // closed once pion's accept loop knows of it
	open     sync.WaitGroup // connections that pion has not closed yet, and writers

	mu    sync.Mutex
	conns map[netip.AddrPort]*stream // guarded by mu; by client; none is added after closed is closed
}

func newStreams(l net.Listener, c *Config, r *relay, s sockets) *streams {
	return &streams{
		Listener: l,
		realm:    c.Realm,
		max:      c.MaxConns,
		queue:    c.Queue,
		relay:    r,
		outlets:  sync.Pool{New: func() any { return s.newOutlet() }},
		counters: r.counters,
		log:      c.Logger,
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
		conns:    make(map[netip.AddrPort]*stream),
	}
}

// Accept returns the next connection. It returns an error only after Close, since any error ends pion's accept loop.
func (l *streams) Accept() (net.Conn, error) {
	var wait backoff
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			if s := l.register(c); s != nil {
				return s, nil
			}
			continue
		}

		if !errors.Is(err, net.ErrClosed) {
			l.log.Warn("accept connection", "error", errors.Unwrap(err)) // a *net.OpError, without its addresses
			if wait.after(l.closed) {
				continue
			}
		}

		// On our error pion closes the allocations, which it must not do while a connection's reader makes a
		// permission.
		<-l.closed
		l.open.Wait()
		close(l.ended)
		return nil, net.ErrClosed
	}
}

// register returns a stream for a connection, or closes it and returns nil: if there are too many, or if another live
// connection has the same client address (to another address of this host). pion would tell these two apart, but its
// handlers could not.
func (l *streams) register(c net.Conn) *stream {
	s := &stream{Conn: c, listener: l, client: clientOf(c.RemoteAddr())}
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

// unregister forgets a stream that pion has closed.
func (l *streams) unregister(s *stream) {
	l.mu.Lock()
	delete(l.conns, s.client)
	l.mu.Unlock()

	l.counters.conns.Add(-1)
	l.open.Done()
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

// stream returns a client's connection, nil if it has none.
func (l *streams) stream(client netip.AddrPort) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[client]
}

func (l *streams) request(client netip.AddrPort) *request {
	if s := l.stream(client); s != nil {
		return &s.current
	}
	return new(request) // the connection has just ended
}

func (l *streams) allocation(client netip.AddrPort) *allocation {
	if s := l.stream(client); s != nil {
		return s.allocation.Load()
	}
	return nil
}

func (l *streams) setReturnPath(b *binding) { b.stream = l.stream(b.client()) }

func (l *streams) setAllocated(client netip.AddrPort, has bool) {
	if s := l.stream(client); s != nil {
		s.setAllocated(has)
	}
}

// guest is a connection whose listener reserves places for clients that have shown that they are worth one.
type guest interface {
	// Admit asks for a place, now that an allocation over this connection belongs to the payer. It returns why there
	// is none.
	Admit(netlimit.Payer) error
	// Dismiss gives the place back: the connection has no allocation any more.
	Dismiss()
}

func (l *streams) admit(client netip.AddrPort, who netlimit.Payer) error {
	s := l.stream(client)
	if s == nil {
		return net.ErrClosed
	}
	if g, ok := s.Conn.(guest); ok {
		return g.Admit(who)
	}
	return nil
}

func (l *streams) done() <-chan struct{} { return l.ended }

func (l *streams) wait() {
	<-l.ended
	l.open.Wait()
}
