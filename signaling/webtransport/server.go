package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/webtransport-go"
	"golang.org/x/time/rate"
)

// An address that has proven nothing may be forged, so nobody pays for its handshake. At most maxUnproven such
// handshakes are under way at once, and after a burst, unprovenPerSecond begin each second. Beyond that, a client must
// first answer from its address (a Retry: RFC 9000, section 8.1.2), which takes one more round trip.
const (
	maxUnproven       = 64
	unprovenPerSecond = 50
	unprovenBurst     = 100
)

// maxCapsules bounds the capsules (RFC 9297) that a client may send in a session, in bytes. It needs only the one that
// closes the session.
const maxCapsules = 1 << 10

// streamFrame begins a bidirectional stream of a session, before the session's id (draft-ietf-webtrans-http3, 4.2).
const streamFrame = 0x41

// connectionIDSize makes even a ping long enough for a stateless reset in reply, which is shorter than what it answers.
const connectionIDSize = 20

// tokenLife is how long a client may show that it answered from its address. The address may be another's by then.
const tokenLife = 10 * time.Minute

// maxHeader bounds the header of a request, in bytes.
const maxHeader = 4 << 10

// stopTimeout is how long Run waits for its clients when it stops.
const stopTimeout = 5 * time.Second

// ServerConfig configures a Server.
type ServerConfig struct {
	TLS *tls.Config

	// ResetKey must be secret, and stay the same across restarts: the clients of a killed process then learn at once
	// that their connections are gone (RFC 9000, section 10.3).
	ResetKey [32]byte

	// Handler gets the one request of each connection. Accept makes a Conn of it; otherwise the connection ends.
	Handler http.Handler

	// Admit is called once for each connection, as soon as its client has proven its address: before the handshake if
	// it answered a Retry, else after it. An error ends the connection. Guest returns the value for the request. ctx
	// ends with the connection; hangUp ends the connection, and may be called at any time.
	Admit func(ctx context.Context, client netip.AddrPort, hangUp func()) (guest any, err error)

	Logger *slog.Logger
}

// Server accepts WebTransport sessions at one UDP port, one on each connection. It does not look at what they carry.
// It does not use webtransport-go's server, which would accept streams and requests without end.
type Server struct {
	cfg      ServerConfig
	conn     net.PacketConn
	quic     *quic.Transport
	http     *http3.Server
	unproven atomic.Int64
	arriving *rate.Limiter // those that have proven nothing
	serving  sync.WaitGroup

	mu       sync.Mutex
	open     int           // guarded by mu; sessions that were accepted and have not ended
	stopping bool          // guarded by mu; no session is accepted any more
	empty    chan struct{} // closed once the server is stopping and open is 0
}

// NewServer returns a server that owns the socket. Run serves.
func NewServer(conn net.PacketConn, cfg ServerConfig) *Server {
	s := &Server{
		cfg:      cfg,
		conn:     conn,
		arriving: rate.NewLimiter(unprovenPerSecond, unprovenBurst),
		empty:    make(chan struct{}),
	}

	key := quic.StatelessResetKey(cfg.ResetKey)
	s.quic = &quic.Transport{
		Conn:                conn,
		ConnectionIDLength:  connectionIDSize,
		MaxTokenAge:         tokenLife,
		StatelessResetKey:   &key,
		VerifySourceAddress: func(net.Addr) bool { return s.unproven.Load() >= maxUnproven || !s.arriving.Allow() },
		ConnContext:         s.arrive,
	}
	s.http = &http3.Server{
		Handler:        http.HandlerFunc(s.serveRequest),
		MaxHeaderBytes: maxHeader,
		Logger:         cfg.Logger,
	}
	webtransport.ConfigureHTTP3Server(s.http) // its settings
	return s
}

// Addr returns the address of the port.
func (s *Server) Addr() net.Addr { return s.conn.LocalAddr() }

// Run serves until ctx ends, or the socket fails. Then it accepts nothing more, waits a little for its clients, and
// closes the socket.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	secure := s.cfg.TLS.Clone()
	secure.NextProtos = []string{http3.NextProtoH3}
	// early, so that HTTP/3's settings go along with the handshake
	listener, err := s.quic.ListenEarly(secure, newConfig(serverWindow))
	if err != nil {
		return fmt.Errorf("serve WebTransport: %w", err)
	}

	for {
		over, err := listener.Accept(ctx)
		if err != nil {
			_ = listener.Close()
			if ctx.Err() == nil {
				return fmt.Errorf("serve WebTransport: %w", err)
			}
			break
		}
		s.serving.Go(func() { s.serve(over) })
	}

	s.mu.Lock()
	s.stopping = true
	s.closeIfEmpty()
	s.mu.Unlock()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.empty:
	case <-timer.C:
	}
	return nil
}

// enter counts a session until its connection's context ends. It reports whether the server still accepts sessions.
func (s *Server) enter(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.open++
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		s.closeIfEmpty()
	})
	return true
}

// closeIfEmpty closes empty once the last session of a stopping server has ended. s.mu must be held.
func (s *Server) closeIfEmpty() {
	if s.stopping && s.open == 0 {
		close(s.empty)
	}
}

// Close closes the socket, and with it every connection. After Run it does nothing.
func (s *Server) Close() error {
	err := s.quic.Close() // ends every connection
	s.serving.Wait()
	return errors.Join(err, s.conn.Close())
}

type arrivalKey struct{}

// arrival is what the server knows about a connection, from before its handshake on.
type arrival struct {
	client   netip.AddrPort
	proven   bool   // the client proved its address before the handshake
	guest    any    // set once it is admitted
	shown    func() // must be called once the client has answered from its address
	accepted bool   // the request has become a session; owned by serve's goroutine

	mu    sync.Mutex
	conn  *quic.Conn // guarded by mu; nil at first
	ended bool       // guarded by mu
}

func (a *arrival) hangUp() {
	a.mu.Lock()
	conn := a.conn
	a.ended = true
	a.mu.Unlock()
	if conn != nil {
		_ = conn.CloseWithError(0, "")
	}
}

// begin notes the connection, unless it has to end.
func (a *arrival) begin(conn *quic.Conn) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn = conn
	return !a.ended
}

// arrive is the transport's ConnContext.
func (s *Server) arrive(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	a := &arrival{proven: info.AddrVerified, shown: func() {}}
	if udp, ok := info.RemoteAddr.(*net.UDPAddr); ok {
		a.client = netip.AddrPortFrom(udp.AddrPort().Addr().Unmap(), uint16(udp.Port))
	}

	if a.proven {
		if err := s.admit(ctx, a); err != nil {
			return nil, err
		}
	} else {
		s.unproven.Add(1)
		a.shown = sync.OnceFunc(func() { s.unproven.Add(-1) })
		context.AfterFunc(ctx, a.shown)
	}
	return context.WithValue(ctx, arrivalKey{}, a), nil
}

func (s *Server) admit(ctx context.Context, a *arrival) (err error) {
	a.guest, err = s.cfg.Admit(ctx, a.client, a.hangUp)
	return err
}

// serve serves one connection until its request is answered or has become a session.
func (s *Server) serve(over *quic.Conn) {
	a := over.Context().Value(arrivalKey{}).(*arrival)
	defer func() {
		if !a.accepted {
			_ = over.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
		}
	}()
	if !a.begin(over) {
		return
	}
	h, err := s.http.NewRawServerConn(over) // sends the settings
	if err != nil {
		s.cfg.Logger.Debug("serve HTTP/3", "err", err)
		return
	}

	ctx, cancel := context.WithTimeout(over.Context(), handshakeTimeout)
	defer cancel()
	select {
	case <-over.HandshakeComplete():
	case <-ctx.Done():
		return
	}
	a.shown()
	if !a.proven && s.admit(over.Context(), a) != nil {
		return
	}

	s.serving.Go(func() { serveUniStreams(over, h) })
	request, err := over.AcceptStream(ctx)
	if err != nil {
		return
	}
	_ = request.SetReadDeadline(time.Now().Add(handshakeTimeout))
	h.HandleRequestStream(request)
}

// serveUniStreams takes the few streams that HTTP/3 needs for itself. It ends a connection that opens others.
func serveUniStreams(over *quic.Conn, h *http3.RawServerConn) {
	for range maxUniStreams {
		stream, err := over.AcceptUniStream(over.Context())
		if err != nil {
			return
		}
		go func() {
			h.HandleUnidirectionalStream(stream) // of the control stream, until the connection ends
			if n, _ := io.CopyN(io.Discard, stream, maxCapsules); n == maxCapsules {
				_ = over.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
			}
		}()
	}
	if _, err := over.AcceptUniStream(over.Context()); err == nil {
		_ = over.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
	}
}

type serverKey struct{}

// serveRequest adds to a request what Accept and Guest need.
func (s *Server) serveRequest(w http.ResponseWriter, r *http.Request) {
	s.cfg.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serverKey{}, s)))
}

// Guest returns what Admit returned for the connection of a request, or nil if the request came another way.
func Guest(r *http.Request) any {
	if a, ok := r.Context().Value(arrivalKey{}).(*arrival); ok {
		return a.guest
	}
	return nil
}

// Asks reports whether a request came over HTTP/3 and asks for a session.
func Asks(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.Context().Value(serverKey{}) != nil
}

// protocols are the values of :protocol that ask for a session: the present draft's, and the one of earlier drafts,
// which browsers speak.
var protocols = []string{"webtransport-h3", "webtransport"}

// Accept accepts the session that a request asks for, and opens its stream. If it returns an error, it has answered the
// request. The caller must close the Conn.
func Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	s, served := r.Context().Value(serverKey{}).(*Server)
	a, arrived := r.Context().Value(arrivalKey{}).(*arrival)
	if !served || !arrived || !slices.Contains(protocols, r.Proto) {
		w.WriteHeader(http.StatusBadRequest)
		return nil, errors.New("accept WebTransport: the request asks for something else")
	}
	if !s.enter(a.conn.Context()) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil, fmt.Errorf("accept WebTransport: %w", net.ErrClosed)
	}
	stream, err := a.conn.OpenStream()
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil, fmt.Errorf("accept WebTransport: %w", err)
	}

	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	a.accepted = true
	session := w.(http3.HTTPStreamer).HTTPStream()
	_ = session.SetReadDeadline(time.Time{})
	go func() {
		_, _ = io.CopyN(io.Discard, session, maxCapsules)
		a.hangUp() // the client has ended its session, or says too much
	}()

	c := &Conn{quic: a.conn}
	c.begin(serverStream{stream})
	c.prefix = quicvarint.Append(quicvarint.Append(nil, streamFrame), uint64(session.StreamID()))
	return c, nil
}

// reset is the code with which a stream is reset (draft-ietf-webtrans-http3, 4.4: the application's code 0).
const reset quic.StreamErrorCode = 0x52e4a40fa8db

// serverStream is the server's end of a session's stream.
type serverStream struct{ *quic.Stream }

func (s serverStream) CancelRead()  { s.Stream.CancelRead(reset) }
func (s serverStream) CancelWrite() { s.Stream.CancelWrite(reset) }
