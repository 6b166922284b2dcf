package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/turn"
)

const (
	alpnHTTP = "http/1.1"
	alpnTURN = "stun.turn" // RFC 7443

	// sortWait is how long a connection may take for its TLS handshake and its first byte.
	sortWait = 5 * time.Second
	// maxUnsorted bounds the connections that are at it at one time, and maxUnsortedEach those of one address (an IPv6
	// client's /64; this machine's own are not counted): each costs a goroutine and an open file.
	maxUnsorted, maxUnsortedEach = 8192, 256
	// maxSTUN is the greatest first byte of a STUN message (RFC 7983, section 7). HTTP begins with a letter.
	maxSTUN = 3
)

// mux shares one port between HTTP and TURN, so that a network that lets out nothing but HTTPS has both. It takes TLS
// off, and a connection's first byte tells which it is.
type mux struct {
	net.Listener             // raw TCP
	tls          *tls.Config // nil: none is taken off
	log          *slog.Logger
	http, turn   *branch

	full, silent, failed atomic.Int64 // connections that went to neither: too many at once, no first byte, no handshake

	mu       sync.Mutex
	unsorted int                // guarded by mu
	sources  map[netip.Addr]int // guarded by mu; unsorted, by address
}

// newMux takes the listener over. A nil configuration is a port without TLS.
func newMux(l net.Listener, secure *tls.Config, log *slog.Logger) *mux {
	if secure != nil {
		secure = withProtocols(secure, alpnHTTP, alpnTURN)
	}
	return &mux{Listener: l, tls: secure, log: log, http: newBranch(l), turn: newBranch(l), sources: make(map[netip.Addr]int)}
}

// withProtocols is c for those who speak one of these (ALPN), and for who names none, as TURN clients in browsers do.
func withProtocols(c *tls.Config, protocols ...string) *tls.Config {
	c = c.Clone()
	c.NextProtos = protocols
	return c
}

// Run takes connections in until ctx ends. The port is closed then, and so is what has not been sorted.
func (m *mux) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var sorting sync.WaitGroup
	defer sorting.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { m.Close() })()
	pause := 5 * time.Millisecond
	for {
		c, err := m.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			m.take(ctx, c, &sorting)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		m.log.Warn("accept connection", "err", errors.Unwrap(err)) // no descriptor left, say; without its addresses
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// take sorts c, unless too many are at that.
func (m *mux) take(ctx context.Context, c net.Conn, sorting *sync.WaitGroup) {
	from := source(c.RemoteAddr())
	if !m.admit(from) {
		m.full.Add(1)
		c.Close()
		return
	}
	sorting.Go(func() {
		b, sorted := m.sort(ctx, c)
		m.release(from)
		if b == nil || !b.give(ctx, sorted) {
			c.Close() // the raw one: a TLS goodbye could block
		}
	})
}

func (m *mux) admit(from netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unsorted >= maxUnsorted || m.sources[from] >= maxUnsortedEach && !from.IsLoopback() {
		return false
	}
	m.unsorted++
	m.sources[from]++
	return true
}

func (m *mux) release(from netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsorted--
	if m.sources[from]--; m.sources[from] == 0 {
		delete(m.sources, from)
	}
}

// source is a client's address, as the limit for each counts it.
func source(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return turn.Network(tcp.AddrPort().Addr())
	}
	return netip.Addr{}
}

// sort finds out where a connection belongs; nil: nowhere.
func (m *mux) sort(ctx context.Context, raw net.Conn) (*branch, net.Conn) {
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	raw.SetDeadline(time.Now().Add(sortWait))
	c := raw
	if m.tls != nil {
		secure := tls.Server(raw, m.tls)
		if err := secure.Handshake(); err != nil {
			m.failed.Add(1)
			m.log.Debug("tls handshake", "err", err)
			return nil, nil
		}
		if secure.ConnectionState().NegotiatedProtocol == alpnTURN {
			raw.SetDeadline(time.Time{})
			return m.turn, secure
		}
		c = secure
	}
	first := make([]byte, 1)
	if _, err := c.Read(first); err != nil {
		m.silent.Add(1)
		return nil, nil
	}
	raw.SetDeadline(time.Time{})
	sorted := &opened{Conn: c, first: first}
	if first[0] <= maxSTUN {
		return m.turn, sorted
	}
	return m.http, sorted
}

// opened is a connection whose first byte has been read.
type opened struct {
	net.Conn
	first []byte
}

// Read gives the first byte again.
func (c *opened) Read(p []byte) (int, error) {
	if len(c.first) == 0 || len(p) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

// NetConn is what is below TLS, to be closed without a goodbye.
func (c *opened) NetConn() net.Conn {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return c.Conn
}

// branch is one half of a shared port, as who serves it accepts from it. Closing it closes nothing but itself.
type branch struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newBranch(l net.Listener) *branch {
	return &branch{at: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands c over, or returns false when nobody takes it any more.
func (b *branch) give(ctx context.Context, c net.Conn) bool {
	select {
	case b.conns <- c:
		return true
	case <-b.closed:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.closed:
		return nil, fmt.Errorf("accept on %s: %w", b.at, net.ErrClosed)
	}
}

// Close implements net.Listener.
func (b *branch) Close() error {
	b.close.Do(func() { close(b.closed) })
	return nil
}

// Addr implements net.Listener.
func (b *branch) Addr() net.Addr { return b.at }
