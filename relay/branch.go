package relay

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// branch is the listener of one of the servers behind a door. Closing it closes neither the door nor other branches.
type branch struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newBranch(l net.Listener) *branch {
	return &branch{at: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
}

// handOver hands c to the server, and reports whether the server has accepted it.
func (b *branch) handOver(ctx context.Context, c net.Conn) bool {
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
