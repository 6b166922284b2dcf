package server

import (
	"context"
	"net"
)

// inProcessOrigin is what the client in this process signs.
const inProcessOrigin = "in process"

// inProcess is a listener for clients in this process, which need no socket.
type inProcess struct {
	arrivals chan net.Conn
	closed   <-chan struct{}
}

// inProcessConn is a private server's end of a connection to a client in this process. Nobody else can make one.
type inProcessConn struct{ net.Conn }

func newInProcess(closed <-chan struct{}) *inProcess {
	return &inProcess{arrivals: make(chan net.Conn), closed: closed}
}

// Dial connects to a private server while Run runs. It is the camera's own way in, for signaling.ClientConfig.Dial; set
// InProcess there too. Only clients that come this way can show the ticket.
func (s *Server) Dial(ctx context.Context) (conn net.Conn, origin string, err error) {
	ours, theirs := net.Pipe()
	select {
	case s.inProcess.arrivals <- inProcessConn{theirs}:
		return ours, inProcessOrigin, nil
	case <-s.inProcess.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}

	ours.Close()
	theirs.Close()
	return nil, "", err
}

// Accept implements net.Listener.
func (l *inProcess) Accept() (net.Conn, error) {
	select {
	case conn := <-l.arrivals:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The listener ends with its server.
func (l *inProcess) Close() error { return nil }

// Addr implements net.Listener.
func (l *inProcess) Addr() net.Addr { return inProcessAddr{} }

type inProcessAddr struct{}

func (inProcessAddr) Network() string { return "in process" }
func (inProcessAddr) String() string  { return "in process" }
