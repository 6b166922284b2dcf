package bulk

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memoryPath is one end of a path in memory. It loses nothing, unless it is silent.
type memoryPath struct {
	in, out chan []byte
	once    *sync.Once
	closed  chan struct{} // for both ends
	silent  *atomic.Bool  // for both ends: every packet is lost

	mu      sync.Mutex
	timer   *time.Timer   // guarded by mu
	expired chan struct{} // guarded by mu; closed once the read deadline has passed
}

// newPath returns the two ends of a path.
func newPath() (viewer, camera *memoryPath) {
	there, back := make(chan []byte, 256), make(chan []byte, 256)
	viewer = &memoryPath{in: back, out: there, once: new(sync.Once), closed: make(chan struct{}),
		silent: new(atomic.Bool), expired: make(chan struct{})}
	camera = &memoryPath{in: there, out: back, once: viewer.once, closed: viewer.closed,
		silent: viewer.silent, expired: make(chan struct{})}
	return viewer, camera
}

func (p *memoryPath) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	expired := p.expired
	p.mu.Unlock()

	select {
	case <-p.closed:
		return 0, nil, io.ErrClosedPipe
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	case packet := <-p.in:
		return copy(b, packet), &net.UDPAddr{}, nil
	}
}

func (p *memoryPath) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p.silent.Load() {
		return len(b), nil
	}
	select {
	case <-p.closed:
		return 0, io.ErrClosedPipe
	case p.out <- append([]byte(nil), b...):
		return len(b), nil
	}
}

// Close closes both ends.
func (p *memoryPath) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *memoryPath) SetReadDeadline(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	select {
	case <-p.expired:
		p.expired = make(chan struct{})
	default:
	}

	expired := p.expired
	switch wait := time.Until(at); {
	case at.IsZero():
	case wait <= 0:
		close(expired)
	default:
		p.timer = time.AfterFunc(wait, func() { close(expired) })
	}
	return nil
}

func (p *memoryPath) SetWriteDeadline(time.Time) error { return nil }
func (p *memoryPath) SetDeadline(at time.Time) error   { return p.SetReadDeadline(at) }
func (p *memoryPath) LocalAddr() net.Addr              { return &net.UDPAddr{} }

// failingPath fails with err.
type failingPath struct {
	net.PacketConn
	err error
}

func (p failingPath) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, p.err }
func (p failingPath) WriteTo([]byte, net.Addr) (int, error)  { return 0, p.err }

// temporaryError is what quic-go would read again after, for ever.
type temporaryError struct{ error }

func (temporaryError) Timeout() bool   { return false }
func (temporaryError) Temporary() bool { return true }

func TestPathErrorThatIsNoTimeoutClosesIt(t *testing.T) {
	broken := temporaryError{errors.New("broken")}
	_, _, err := onePeer{failingPath{err: broken}}.ReadFrom(nil)
	if temporary, ok := err.(net.Error); ok && temporary.Timeout() || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v does not say that the path is closed", err)
	}

	_, _, err = onePeer{failingPath{err: os.ErrDeadlineExceeded}}.ReadFrom(nil)
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

func TestPacketThatCannotBeSentIsLost(t *testing.T) {
	n, err := onePeer{failingPath{err: errors.New("no selected pair")}}.WriteTo(make([]byte, 7), otherEnd{})
	if n != 7 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if _, err := (onePeer{failingPath{err: net.ErrClosed}}).WriteTo(nil, otherEnd{}); err == nil {
		t.Error("a closed path takes packets")
	}
}
