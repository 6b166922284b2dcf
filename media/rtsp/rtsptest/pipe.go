package rtsptest

import (
	"io"
	"net"
	"sync"
)

// Connect returns a connection to the camera that needs no network, so that it works in a bubble of testing/synctest.
func (c *Camera) Connect() net.Conn {
	ours, theirs := net.Pipe()
	buffered := &pipe{Conn: theirs, data: make(chan []byte, 1024), gone: make(chan struct{})}
	c.work.Go(buffered.pump)
	c.work.Go(func() { c.serveConn(buffered) })
	return ours
}

// pipe is an end of net.Pipe that buffers: the other end can write before this one reads.
type pipe struct {
	net.Conn
	data chan []byte
	rest []byte
	gone chan struct{}
	once sync.Once
}

func (p *pipe) pump() {
	defer close(p.data)
	for {
		b := make([]byte, 4096)
		n, err := p.Conn.Read(b)
		if err != nil {
			return
		}
		select {
		case p.data <- b[:n]:
		case <-p.gone:
			return
		}
	}
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		var ok bool
		if p.rest, ok = <-p.data; !ok {
			return 0, io.EOF
		}
	}

	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.gone) })
	return p.Conn.Close()
}
