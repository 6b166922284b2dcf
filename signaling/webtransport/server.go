package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// maxUnproven bounds the handshakes under way with addresses that have proven nothing. Beyond it, a client must first
// answer from its address (a Retry: RFC 9000, section 8.1.2), which takes one round trip more.
const maxUnproven = 64

// connectionIDSize makes even a ping long enough for a stateless reset in reply, which is shorter than what it answers.
const connectionIDSize = 20

// maxHeader bounds the header of a request, in bytes.
const maxHeader = 4 << 10

// stopTimeout is how long Run waits for its clients when it stops.
const stopTimeout = 5 * time.Second

// ServerConfig configures a Server.
type ServerConfig struct {
	TLS *tls.Config

	// ResetKey must be secret, and the same after a restart: clients of the process before then learn at once that
	// their connection is gone (RFC 9000, section 10.3).
	ResetKey [32]byte

	// Handler gets every request. Accept makes a Conn of one.
	Handler http.Handler

	// Admit is called for each connection before its handshake. An error refuses the connection, and costs nothing
	// more. The returned context must be a child of the given one, which ends with the connection, and is a parent of
	// the contexts of its requests. hangUp is called to end the connection; it may be called at any time.
	Admit func(ctx context.Context, client netip.AddrPort, hangUp func()) (context.Context, error)

	Logger *slog.Logger
}

// Server accepts WebTransport sessions at one UDP port. It does not look at what they carry.
type Server struct {
	cfg      ServerConfig
	conn     net.PacketConn
	quic     *quic.Transport
	sessions *webtransport.Server
	unproven atomic.Int64
	serving  sync.WaitGroup
}

// NewServer returns a server that owns the socket. Run serves.
func NewServer(conn net.PacketConn, cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, conn: conn}

	key := quic.StatelessResetKey(cfg.ResetKey)
	s.quic = &quic.Transport{
		Conn:                conn,
		ConnectionIDLength:  connectionIDSize,
		StatelessResetKey:   &key,
		VerifySourceAddress: func(net.Addr) bool { return s.unproven.Load() >= maxUnproven },
		ConnContext:         s.admit,
	}
	s.sessions = &webtransport.Server{
		H3: &http3.Server{
			Handler:        s.handler(),
			MaxHeaderBytes: maxHeader,
			IdleTimeout:    handshakeTimeout, // without a request
			ConnContext:    withConn,
			Logger:         cfg.Logger,
		},
		// Every right comes from a mailbox's keys, and none from a cookie: another site's page can do no more than any
		// program.
		CheckOrigin: func(*http.Request) bool { return true },
	}
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
	listener, err := s.quic.Listen(secure, newConfig(1))
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
		s.serving.Go(func() {
			if err := s.sessions.ServeQUICConn(over); err != nil {
				s.cfg.Logger.Debug("serve HTTP/3", "err", err)
			}
		})
	}

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.serving.Wait()
	}()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	}
	return nil
}

// Close closes the socket, and with it every connection. After Run it does nothing.
func (s *Server) Close() error {
	err := s.sessions.Close() // tells the clients
	s.serving.Wait()
	return errors.Join(err, s.quic.Close(), s.conn.Close())
}

// admit is the transport's ConnContext. An address that has not answered yet may be forged, so few of those are served
// at a time.
func (s *Server) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	var client netip.AddrPort
	if udp, ok := info.RemoteAddr.(*net.UDPAddr); ok {
		client = netip.AddrPortFrom(udp.AddrPort().Addr().Unmap(), uint16(udp.Port))
	}

	a := &arrival{}
	inner, err := s.cfg.Admit(ctx, client, a.hangUp)
	if err != nil {
		return nil, err
	}
	if !info.AddrVerified {
		s.unproven.Add(1)
		a.shown = sync.OnceFunc(func() { s.unproven.Add(-1) })
		context.AfterFunc(ctx, a.shown)
	}
	return context.WithValue(inner, arrivalKey{}, a), nil
}

type arrivalKey struct{}

// arrival is a connection from before its handshake.
type arrival struct {
	shown func() // the client has answered from its address; nil if it had before

	mu    sync.Mutex
	conn  *quic.Conn // guarded by mu; nil until the handshake is done
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

// withConn is http3.Server's ConnContext.
func withConn(ctx context.Context, conn *quic.Conn) context.Context {
	a, ok := ctx.Value(arrivalKey{}).(*arrival)
	if !ok {
		return ctx
	}
	if a.shown != nil {
		a.shown()
	}

	a.mu.Lock()
	a.conn = conn
	ended := a.ended
	a.mu.Unlock()
	if ended {
		_ = conn.CloseWithError(0, "")
	}
	return ctx
}

type serverKey struct{}

// handler adds to each request what Accept needs.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.cfg.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serverKey{}, s)))
	})
}

// Asks reports whether a request asks for a WebTransport session.
func Asks(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.Context().Value(serverKey{}) != nil
}

// Accept accepts the session that a request asks for, and opens its stream. If it returns an error, the connection has
// ended. The caller must close the Conn.
func Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	s, served := r.Context().Value(serverKey{}).(*Server)
	a, arrived := r.Context().Value(arrivalKey{}).(*arrival)
	if !served || !arrived {
		return nil, errors.New("accept WebTransport: the request came another way")
	}

	session, err := s.sessions.Upgrade(w, r)
	if err != nil {
		a.hangUp()
		return nil, fmt.Errorf("accept WebTransport: %w", err)
	}
	stream, err := session.OpenStream()
	if err != nil {
		a.hangUp()
		return nil, fmt.Errorf("accept WebTransport: %w", err)
	}

	c := &Conn{quic: a.conn}
	c.begin(stream)
	return c, nil
}
