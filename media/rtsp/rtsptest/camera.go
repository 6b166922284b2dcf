// Package rtsptest provides RTSP cameras for tests: correct ones, and ones with the quirks of real cameras. It listens
// on 127.0.0.1 only, and no command may import it.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package rtsptest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
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

// client is one connection.
type client struct {
	net.Conn
	camera  *Camera
	options Options
	done    chan struct{}
	once    sync.Once
	writing sync.Mutex
	playing sync.WaitGroup

	mu       sync.Mutex // guards all below
	heard    time.Time
	udp      [2]*net.UDPConn
	to       [2]*net.UDPAddr
	tcp      bool
	requests int
	auth     authState
	number   uint16
}

func (s *client) stop() {
	s.once.Do(func() {
		close(s.done)
		s.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, u := range s.udp {
			if u != nil {
				u.Close()
			}
		}
	})
}

func (s *client) serve() {
	r := bufio.NewReader(s)
	for {
		first, err := r.Peek(4)
		if err != nil {
			return
		}
		if first[0] == '$' {
			packet := make([]byte, 4+int(first[2])<<8+int(first[3]))
			if _, err := readFull(r, packet); err != nil {
				return
			}
			s.camera.addFeedback(packet[4:])
			continue
		}

		line, err := textproto.NewReader(r).ReadLine()
		if err != nil {
			return
		}
		header, err := textproto.NewReader(r).ReadMIMEHeader()
		parts := strings.Split(line, " ")
		if err != nil || len(parts) != 3 {
			return
		}
		if strings.HasPrefix(line, "RTSP/") {
			continue // an answer to one of our requests
		}

		s.request(parts[0], parts[1], header)
		if parts[0] == "TEARDOWN" {
			return
		}
	}
}

func (c *Camera) addFeedback(feedback []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feedback = append(c.feedback, feedback)
}

// request answers one request.
func (s *client) request(method, url string, header textproto.MIMEHeader) {
	s.mu.Lock()
	s.heard = time.Now()
	s.requests++
	number := s.requests
	s.mu.Unlock()
	s.camera.mu.Lock()
	s.camera.requests = append(s.camera.requests, method+" "+url)
	s.camera.mu.Unlock()

	e := &Exchange{
		Method: method,
		URL:    url,
		Header: header,
		Number: number,
		Status: "200 OK",
	}

	if refusal := s.auth.check(s.options.Auth, e); refusal != "" {
		e.Status, e.Fields = "401 Unauthorized", []string{"WWW-Authenticate: " + refusal}
	} else {
		s.handle(e)
	}

	if s.options.Answer != nil {
		s.options.Answer(e)
	}
	if !e.Silent {
		s.answer(e)
	}

	if method == "PLAY" && strings.HasPrefix(e.Status, "200") {
		s.playing.Go(s.play)
	}
}

func (s *client) handle(e *Exchange) {
	o := s.options
	fill := func(text string) string { return strings.ReplaceAll(text, "%URL%", strings.TrimRight(e.URL, "/")) }

	switch e.Method {
	case "OPTIONS":
		e.Fields = []string{"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"}
	case "DESCRIBE":
		e.Fields = []string{"Content-Type: application/sdp"}
		if base := o.Base; base == "" {
			e.Fields = append(e.Fields, fill("Content-Base: %URL%/"))
		} else if base != "-" {
			e.Fields = append(e.Fields, fill("Content-Base: "+base))
		}
		e.Body = fill(o.description())
	case "SETUP":
		s.setup(e)
	case "PLAY":
		e.Fields, e.Silent = []string{"Session: 4711", "Range: npt=0.000-"}, o.MutePlay
	case "TEARDOWN":
	default:
		e.Silent = o.MuteKeepalive
	}
}

func (s *client) answer(e *Exchange) {
	fields := append([]string{"RTSP/1.0 " + e.Status, "CSeq: " + e.Header.Get("Cseq")}, e.Fields...)
	if e.Body != "" {
		fields = append(fields, "Content-Length: "+strconv.Itoa(len(e.Body)))
	}
	text := strings.Join(fields, s.options.LineEnd) + s.options.LineEnd + s.options.LineEnd + e.Body
	s.write(append(e.Before, text...))
}

func (s *client) write(b []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.Write(b)
	return err
}

func (s *client) setup(e *Exchange) {
	asked := e.Header.Get("Transport")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = strings.Contains(asked, "/TCP")
	if s.tcp && s.options.NoTCP || !s.tcp && s.options.NoUDP {
		e.Status = "461 Unsupported Transport"
		return
	}

	session := "Session: 4711"
	if s.options.Timeout > 0 {
		session += fmt.Sprintf(";timeout=%d", s.options.Timeout)
	}
	e.Fields = []string{session, "Transport: " + asked}
	if s.tcp {
		return
	}

	_, ports, _ := strings.Cut(asked, "client_port=")
	first, _, _ := strings.Cut(ports, "-")
	port, _ := strconv.Atoi(first)
	for i := range s.udp {
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			e.Status = "500 Internal Server Error"
			return
		}
		s.udp[i], s.to[i] = u, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + i}
	}

	s.playing.Go(s.readFeedback)
	e.Fields[1] = fmt.Sprintf("Transport: %s;server_port=%d-%d", asked,
		s.udp[0].LocalAddr().(*net.UDPAddr).Port, s.udp[1].LocalAddr().(*net.UDPAddr).Port)
}

func (s *client) readFeedback() {
	s.mu.Lock()
	u := s.udp[1]
	s.mu.Unlock()
	b := make([]byte, 1500)
	for {
		n, _, err := u.ReadFromUDP(b)
		if err != nil {
			return
		}
		s.camera.addFeedback(slices.Clone(b[:n]))
	}
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
