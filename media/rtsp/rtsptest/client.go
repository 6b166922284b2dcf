package rtsptest

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

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
