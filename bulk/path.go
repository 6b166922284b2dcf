package bulk

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
)

// onePeer is a path as quic-go needs it: with one address at the other end, whatever ICE does below, since a change
// would make QUIC probe a path of which it knows nothing. It hides what else the path can do, so that quic-go sets no
// option of a socket. On such a path quic-go discovers no MTU, and sends packets of at most 1,280 bytes; or 1,200, if
// the path reports that the first one is too long, which an ICE path never does.
type onePeer struct{ net.PacketConn }

// otherEnd is the address of the one peer.
type otherEnd struct{}

func (otherEnd) Network() string { return "path" }
func (otherEnd) String() string  { return "other end" }

// ReadFrom reads a packet. It passes on timeouts, with which quic-go is woken to see whether it was closed, and turns
// every other error into net.ErrClosed, since a path has no temporary ones.
func (p onePeer) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := p.PacketConn.ReadFrom(b)
	if err == nil {
		return n, otherEnd{}, nil
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return n, otherEnd{}, err
	}
	return n, otherEnd{}, errors.Join(net.ErrClosed, err)
}

// WriteTo sends a packet. It silently drops one that the path cannot send now, say because ICE has no selected pair:
// if it returned the error, quic-go would end the connection.
func (p onePeer) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := p.PacketConn.WriteTo(b, to)
	switch {
	case err == nil, tooLong(err):
		return n, err
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return n, errors.Join(net.ErrClosed, err)
	}
	return len(b), nil
}

// SetReadBuffer does nothing. Without it, quic-go complains on standard error.
func (onePeer) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing; see SetReadBuffer.
func (onePeer) SetWriteBuffer(int) error { return nil }

// windowsTooLong is WSAEMSGSIZE.
const windowsTooLong syscall.Errno = 10040

// tooLong reports whether err says that a packet is too long for the network.
func tooLong(err error) bool {
	return errors.Is(err, syscall.EMSGSIZE) || runtime.GOOS == "windows" && errors.Is(err, windowsTooLong)
}
