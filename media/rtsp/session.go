package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// defaultTimeout is the timeout of a session if the server does not give one (RFC 2326, section 12.37).
const defaultTimeout = 60 * time.Second

// session is one connection to a server, from its first request to its end.
type session struct {
	client   *Client
	target   target
	way      transport
	fallback bool // if nothing arrives over UDP, try TCP
	sink     func(Unit)

	conn     *conn
	server   netip.Addr
	base     string // the URL that control URLs are relative to
	control  string // the control URL of the whole session
	methods  string // the methods that the server lists
	timeout  time.Duration
	track    *track
	trackURL string
	reply    transportReply
	udp      *udpPair
	refused  bool // the server refused TCP
	playing  bool // PLAY was sent
	began    time.Time
}

// run connects, negotiates and plays.
func (s *session) run(ctx context.Context) error {
	nc, err := s.client.connect(ctx, s.target)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer nc.Close()

	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		s.server = tcp.AddrPort().Addr().Unmap()
	}
	auth := authenticator{user: s.target.user, password: s.target.password, has: s.target.has}
	s.conn = newConn(nc, auth, s.plays, s.frame)

	hangUp := context.AfterFunc(ctx, func() { nc.Close() })
	err = s.negotiate()
	if s.udp != nil {
		defer s.udp.close()
	}

	if !hangUp() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return s.play(ctx)
}

// negotiate prepares the session up to the point where PLAY can be sent.
func (s *session) negotiate() error {
	if err := s.options(); err != nil {
		return err
	}
	d, err := s.describe()
	if err != nil {
		return err
	}
	s.client.config.OnAlive()

	return s.setup(d)
}

// options learns which methods the server supports. A server that refuses to say may still have the stream.
func (s *session) options() error {
	m, err := s.conn.do(request{method: "OPTIONS", url: s.target.url})
	var status *StatusError
	if errors.As(err, &status) {
		return s.redirected(m)
	}
	if err != nil {
		return err
	}
	s.methods = m.header.get("public")

	return nil
}

func (s *session) describe() (description, error) {
	m, err := s.conn.do(request{method: "DESCRIBE", url: s.target.url, fields: []string{"Accept: application/sdp"}})
	if moved := s.redirected(m); moved != nil {
		return description{}, moved
	}
	if err != nil {
		return description{}, err
	}

	d, err := parseDescription(m.body, s.client.config.Codecs)
	if err != nil {
		return description{}, err
	}

	s.base = s.target.url
	for _, name := range []string{"content-location", "content-base"} {
		if base := m.header.get(name); base != "" {
			s.base = withoutCredentials(resolve(s.target.url, base))
		}
	}

	s.control = controlURL(s.base, d.control)
	if isAbsolute(d.control) {
		s.base = s.control
	}
	return d, nil
}

// redirected returns a *redirection if an answer is one, or ErrRedirects if it leads nowhere.
func (s *session) redirected(m message) error {
	location := m.header.get("location")
	if m.status < 300 || m.status > 399 || location == "" {
		return nil
	}
	to, err := s.target.redirect(location)
	if err != nil {
		return err
	}
	return &redirection{to}
}

// setup sets up the video track alone, over the preferred transport or else over the other.
func (s *session) setup(d description) error {
	err := s.setupOver(s.way, d)
	var status *StatusError
	if !errors.As(err, &status) || s.target.secure || !refusesTransport(status.Code) {
		return err
	}
	s.refused = s.way == overTCP
	second := s.setupOver(s.way.other(), d)
	switch {
	case second == nil:
		s.client.prefer(s.way)
		return nil
	case status.Code == 461:
		return ErrTransport
	}

	return err
}

// refusesTransport reports whether a status may refuse only the transport. 461 certainly does.
func refusesTransport(code int) bool {
	switch code {
	case 401, 403, 404, 453, 454, 503:
		return false
	}
	return true
}

func (s *session) setupOver(way transport, d description) error {
	port := 0
	if way == overUDP {
		if err := s.listen(); err != nil {
			return err
		}
		port = s.udp.port()
	}

	m, err := s.setupTrack(d, transportLine(way, port))
	if err != nil {
		return err
	}

	id, seconds := parseSession(m.header.get("session"))
	if s.timeout = defaultTimeout; seconds > 0 && id != "" {
		s.timeout = time.Duration(min(seconds, 3600)) * time.Second
	}
	s.reply = parseTransport(m.header.get("transport"), way)
	if s.reply.transport == overUDP && s.udp == nil || s.reply.transport == overUDP && s.target.secure {
		return &StatusError{Method: "SETUP", Code: 461, Reason: "answered with UDP"}
	}

	s.way = s.reply.transport
	s.track = newTrack(d, s.way, s.client.config, s.sink, &s.client.counters)
	if s.way == overUDP {
		s.udp.connect(s.server, s.reply)
	}

	s.track.sendParameterSets()
	return nil
}

// setupTrack sends SETUP. Cameras mean relative control URLs as controlURL reads them; other servers follow RFC 3986.
func (s *session) setupTrack(d description, transport string) (message, error) {
	s.trackURL = controlURL(s.base, d.track)
	m, err := s.conn.do(request{method: "SETUP", url: s.trackURL, fields: []string{transport}})
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 404 && status.Code != 400 {
		return m, err
	}

	other := resolve(s.base, d.track)
	if d.track == "" || isAbsolute(d.track) || other == s.trackURL {
		return m, err
	}
	m, second := s.conn.do(request{method: "SETUP", url: other, fields: []string{transport}})
	if second != nil {
		return m, err
	}
	s.trackURL = other

	return m, nil
}

func (s *session) listen() error {
	if s.udp != nil {
		return nil
	}
	local, ok := s.conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return ErrTransport
	}

	var err error
	s.udp, err = listenUDP(local.AddrPort().Addr(), s.server)
	return err
}

// plays reports whether interleaved data may arrive on a channel.
func (s *session) plays(channel uint8) bool {
	return s.way == overTCP && s.track != nil && (channel == s.reply.rtp || channel == s.reply.rtcp)
}

// frame handles interleaved data.
func (s *session) frame(channel uint8, packet []byte) {
	if !s.plays(channel) {
		return // the track was not set up
	}
	if channel == s.reply.rtp {
		s.track.receive(packet, time.Now())
		s.client.config.OnAlive()
		return
	}
	s.handleRTCP(packet)
}

// heard reports whether the camera has sent a packet.
func (s *session) heard() bool { return s.track != nil && s.track.last.Load() != 0 }

// supports reports whether the server lists a method.
func (s *session) supports(method string) bool {
	for _, m := range strings.Split(s.methods, ",") {
		if strings.EqualFold(strings.TrimSpace(m), method) {
			return true
		}
	}
	return false
}
