package signaling_test

import (
	"net"
	"sync"
	"time"
)

// line is one end of a connection inside the test. Like a socket, it accepts writes before the other end reads, because
// both ends of a WebSocket write pings and pongs from their reading goroutine.
type line struct {
	net.Conn // one end of a net.Pipe
	from     net.Addr
	queue    chan []byte
	ended    chan struct{}

	mu     sync.Mutex
	closed bool // guarded by mu
}

// newLine returns both ends of a connection from an address.
func newLine(from net.Addr) (ours, theirs *line) {
	a, b := net.Pipe()
	ours, theirs = &line{
		Conn:  a,
		from:  from,
		queue: make(chan []byte, 1024),
		ended: make(chan struct{}),
	}, &line{Conn: b, from: from, queue: make(chan []byte, 1024), ended: make(chan struct{})}

	go ours.pump()
	go theirs.pump()
	return ours, theirs
}

// pump writes what is queued, and then closes the connection.
func (l *line) pump() {
	defer close(l.ended)
	defer l.Conn.Close()
	for b := range l.queue {
		if _, err := l.Conn.Write(b); err != nil {
			break
		}
	}
}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, net.ErrClosed
	}
	select {
	case l.queue <- append([]byte(nil), b...):
		return len(b), nil
	case <-l.ended:
		return 0, net.ErrClosed
	}
}

// Close ends the connection. The other end notices once it has read everything that was written before.
func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.queue)
	if err := l.Conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	return l.Conn.SetReadDeadline(time.Now())
}

// cut breaks the connection. Unread bytes are lost.
func (l *line) cut() { l.Conn.Close(); l.Close() }

func (l *line) RemoteAddr() net.Addr { return l.from }
