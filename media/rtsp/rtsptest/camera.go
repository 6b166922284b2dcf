// Package rtsptest provides RTSP cameras for tests: correct ones, and ones with the quirks of real cameras. It listens
// on 127.0.0.1 only, and no command may import it.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package rtsptest

import (
	"crypto/tls"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options describes what a camera sends, and what is odd about it. All zero values are useful.
type Options struct {
	Codec string        // "H264" if empty
	Units [][][]byte    // access units as lists of NAL units
	Start int           // the access unit that each client starts with
	Once  bool          // send the units only once, and keep the connection
	FPS   float64       // if 0, send as fast as the client reads
	Delay time.Duration // before the first packet

	MTU    int                                       // the size of the largest RTP payload; 1200 if 0
	Pack   Packer                                    // turns units into payloads; Fragmented if nil
	Mutate func(unit int, packets []Packet) []Packet // if not nil, returns the packets to send instead

	SDP   string // if not empty, the whole session description; %URL% is the URL of the request
	Fmtp  string // what follows a=fmtp:96; "sprop" stands for the parameter sets of the first unit
	Media string // media descriptions before that of the video
	Base  string // Content-Base, with %URL% as above; "-" omits it

	TLS           *tls.Config // if not nil, serve rtsps
	Auth          *Auth
	NoTCP         bool            // refuse SETUP over TCP with 461
	NoUDP         bool            // refuse SETUP over UDP with 461
	MuteUDP       bool            // accept SETUP over UDP but send no packets
	MutePlay      bool            // do not answer PLAY
	MuteKeepalive bool            // do not answer keepalives
	Timeout       int             // of the session in seconds, announced and enforced; 0 for none
	LineEnd       string          // "\r\n" if empty
	Answer        func(*Exchange) // if not nil, may change an answer
}

// Exchange is a request and the answer to it, which a test may change.
type Exchange struct {
	Method, URL string
	Header      textproto.MIMEHeader
	Number      int // of the request on this connection, from 1

	Status string // "200 OK"
	Fields []string
	Body   string
	Before []byte // bytes to send before the answer
	Silent bool   // send no answer
}

// Camera is a running camera.
type Camera struct {
	options  Options
	listener net.Listener

	mu       sync.Mutex // guards all below
	requests []string
	feedback [][]byte
	conns    map[*client]struct{}
	closed   bool
	work     sync.WaitGroup
}

// New returns a camera that serves until the test ends.
func New(t testing.TB, o Options) *Camera {
	t.Helper()
	c := newCamera(o)
	var err error
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	c.work.Go(func() {
		for {
			nc, err := c.listener.Accept()
			if err != nil {
				return
			}
			if o.TLS != nil {
				nc = tls.Server(nc, o.TLS)
			}
			c.work.Go(func() { c.serveConn(nc) })
		}
	})

	t.Cleanup(c.Close)
	return c
}

// NewPipe returns a camera that can be reached only by Connect.
func NewPipe(t testing.TB, o Options) *Camera {
	c := newCamera(o)
	t.Cleanup(c.Close)
	return c
}

func newCamera(o Options) *Camera {
	if o.Codec == "" {
		o.Codec = "H264"
	}
	if o.MTU == 0 {
		o.MTU = 1200
	}

	if o.Pack == nil {
		o.Pack = Fragmented
	}
	if o.LineEnd == "" {
		o.LineEnd = "\r\n"
	}

	return &Camera{options: o, conns: make(map[*client]struct{})}
}

// Host returns the camera's address and port.
func (c *Camera) Host() string { return c.listener.Addr().String() }

// URL returns the camera's URL. user may be "" or "USER:PASSWORD@".
func (c *Camera) URL(user string) string { return "rtsp://" + user + c.Host() + "/live" }

// Requests returns the methods and URLs of all requests, in order.
func (c *Camera) Requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Asked returns the number of requests with a method.
func (c *Camera) Asked(method string) (n int) {
	for _, r := range c.Requests() {
		if strings.HasPrefix(r, method+" ") {
			n++
		}
	}
	return n
}

// Feedback returns the RTCP packets from clients.
func (c *Camera) Feedback() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.feedback)
}

// Hang drops all connections and continues to serve.
func (c *Camera) Hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.conns {
		client.stop()
	}
}

// Close stops the camera.
func (c *Camera) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if c.listener != nil {
		c.listener.Close()
	}

	c.Hang()
	c.work.Wait()
}

// serveConn serves one connection until it ends.
func (c *Camera) serveConn(nc net.Conn) {
	s := &client{
		Conn:    nc,
		camera:  c,
		options: c.options,
		done:    make(chan struct{}),
		heard:   time.Now(),
		number:  0xfff0,
	}

	c.mu.Lock()
	closed := c.closed
	c.conns[s] = struct{}{}
	c.mu.Unlock()
	if !closed {
		s.serve()
	}

	s.stop()
	s.playing.Wait()
	c.mu.Lock()
	delete(c.conns, s)
	c.mu.Unlock()
}

// Ports returns the clients' ports for RTP over UDP.
func (c *Camera) Ports() map[int]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ports := make(map[int]bool)
	for s := range c.conns {
		s.mu.Lock()
		if s.to[0] != nil {
			ports[s.to[0].Port] = true
		}
		s.mu.Unlock()
	}

	return ports
}

func (c *Camera) addFeedback(feedback []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feedback = append(c.feedback, feedback)
}
