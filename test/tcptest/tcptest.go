// Package tcptest runs small TCP servers for tests.
//
// A server lasts as long as its test: when the test ends, the server stops listening, closes every connection that is
// still open, and waits for all handlers to return, so that no goroutine outlives the test. The package must never be
// imported but by tests.
package tcptest

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Start serves TCP on an ephemeral port of 127.0.0.1 and returns its address.
func Start(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t)
	Serve(t, l, handle)
	return address(l)
}

// StartTLS is Start for TLS; handle gets a *tls.Conn, before the handshake.
func StartTLS(t testing.TB, config *tls.Config, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t)
	Serve(t, tls.NewListener(l, config), handle)
	return address(l)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func address(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// Serve calls handle in a new goroutine for each connection that l accepts, and closes the connection when handle
// returns. It closes l when the test ends.
func Serve(t testing.TB, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	s := &server{handle: handle, conns: make(map[net.Conn]struct{})}

	t.Cleanup(func() {
		l.Close()
		s.closeConns()
		s.running.Wait()
	})
	s.running.Go(func() { s.accept(l) })
}

type server struct {
	handle  func(net.Conn)
	running sync.WaitGroup // the accepting goroutine and the handlers

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // open connections, guarded by mu
	closed bool                  // guarded by mu
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.serve(c) })
	}
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	if !s.addConn(c) {
		return
	}
	defer s.removeConn(c)
	s.handle(c)
}

// addConn reports whether the server is still open to c.
func (s *server) addConn(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *server) removeConn(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
}
