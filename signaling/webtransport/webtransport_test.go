package webtransport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/peephole-cam/peephole/signaling/webtransport"
	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/reserve"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

const patience = time.Minute

func TestMain(m *testing.M) { noleak.Main(m) }

// greeting is the server's first message, without which a client does not learn of the stream.
var greeting = []byte("hello")

// server is one that greets its clients.
type server struct {
	*webtransport.Server
	at       string
	trust    *tls.Config
	accepted chan *webtransport.Conn
	kill     func() // ends it without a word to anybody
}

type admission func(ctx context.Context, client netip.AddrPort, hangUp func()) (any, error)

// serve starts a server. admit may be nil.
func serve(t *testing.T, admit admission) *server {
	t.Helper()
	port, err := reserve.UDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return serveAt(t, port.Addr(), admit)
}

// serveAt is serve at a reserved port.
func serveAt(t *testing.T, at string, admit admission) *server { return serveWith(t, at, admit, nil) }

// serveWith is serveAt with a handler of the test's own, unless that is nil.
func serveWith(t *testing.T, at string, admit admission, handler http.Handler) *server {
	t.Helper()
	certificate := selfsigned.New(t, "127.0.0.1")
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	socket, err := reserve.ListenUDP(at)
	if err != nil {
		t.Fatal(err)
	}
	if admit == nil {
		admit = func(ctx context.Context, _ netip.AddrPort, _ func()) (any, error) { return nil, nil }
	}

	s := &server{
		at:       socket.LocalAddr().String(),
		trust:    &tls.Config{RootCAs: roots},
		accepted: make(chan *webtransport.Conn, 16),
	}
	if handler == nil {
		handler = http.HandlerFunc(s.accept)
	}
	s.Server = webtransport.NewServer(socket, webtransport.ServerConfig{
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		Handler: handler,
		Admit:   admit,
		Logger:  slog.New(slog.DiscardHandler),
	})

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var killed atomic.Bool
	running.Go(func() {
		if err := s.Run(ctx); err != nil && !killed.Load() {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	s.kill = func() {
		killed.Store(true)
		_ = socket.Close()
		running.Wait()
	}
	return s
}

func (s *server) accept(w http.ResponseWriter, r *http.Request) {
	if !webtransport.Asks(r) {
		http.NotFound(w, r)
		return
	}
	c, err := webtransport.Accept(w, r)
	if err == nil && c.Write(r.Context(), greeting) == nil {
		s.accepted <- c
	}
}

// echo answers each message with itself until the connection ends.
func echo(ctx context.Context, c *webtransport.Conn) error {
	for {
		message, err := c.Read(ctx)
		if errors.Is(err, webtransport.ErrPing) {
			message, err = nil, nil
		}
		if err != nil {
			return err
		}
		if err := c.Write(ctx, message); err != nil {
			return err
		}
	}
}

func (s *server) dial(t *testing.T) *webtransport.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := webtransport.Dialer{TLS: s.trust}.Dial(ctx, s.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if got, err := c.Read(ctx); err != nil || !bytes.Equal(got, greeting) {
		t.Fatalf("the first message is %q, %v", got, err)
	}
	return c
}

func exchange(t *testing.T, c *webtransport.Conn, message []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Write(ctx, message); err != nil {
		t.Fatal(err)
	}
	got, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, message) {
		t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(message))
	}
}

func TestMessagesAreCarried(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	c.SetReadLimit(65536)
	accepted := <-s.accepted
	accepted.SetReadLimit(65536)
	ended := make(chan error, 1)
	go func() { ended <- echo(t.Context(), accepted) }()

	for _, n := range []int{1, 3000, 65536} {
		exchange(t, c, bytes.Repeat([]byte{byte(n)}, n))
	}

	reading, cancel := context.WithCancel(t.Context())
	read := make(chan error, 1)
	go func() { _, err := c.Read(reading); read <- err }()
	if err := c.Ping(t.Context()); err != nil {
		t.Error("ping:", err)
	}
	cancel()
	if err := <-read; err == nil {
		t.Error("reading went on after its context ended")
	}

	_ = c.CloseNow()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the server was told %v, want io.EOF", err)
	}
}

func TestLeavingServerDeliversWhatItWrote(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	accepted := <-s.accepted
	if err := accepted.Write(t.Context(), []byte("the last word")); err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() { defer close(left); accepted.Leave() }()

	got, err := c.Read(t.Context())
	if err != nil || string(got) != "the last word" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want io.EOF", err)
	}
	_ = c.CloseNow()
	<-left
}

func TestRefusedConnectionEndsAtOnce(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(ctx context.Context, client netip.AddrPort, _ func()) (any, error) {
		asked.Add(1)
		if client.Addr() != netip.MustParseAddr("127.0.0.1") || client.Port() == 0 {
			t.Errorf("the client is %v", client)
		}
		return nil, errors.New("no place")
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := webtransport.Dialer{TLS: s.trust}.Dial(ctx, s.at)
	if err == nil || ctx.Err() != nil || asked.Load() == 0 {
		t.Errorf("dial: %v; asked %d times", err, asked.Load())
	}
}

// What a server's limits hold of a connection is given back when the connection has ended, whoever ended it.
func TestContextEndsWithTheConnection(t *testing.T) {
	ended, hangUps := make(chan struct{}, 2), make(chan func(), 2)
	s := serve(t, func(ctx context.Context, _ netip.AddrPort, hangUp func()) (any, error) {
		context.AfterFunc(ctx, func() { ended <- struct{}{} })
		hangUps <- hangUp
		return nil, nil
	})

	_ = s.dial(t).CloseNow()
	<-ended
	c := s.dial(t)
	<-hangUps
	(<-hangUps)()
	<-ended
	if _, err := c.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("the client was told %v, want io.EOF", err)
	}
}

func TestMessageBeyondTheLimitIsRefused(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	accepted := <-s.accepted
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	accepted.SetReadLimit(10)
	if err := c.Write(ctx, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, err := accepted.Read(ctx); !errors.Is(err, webtransport.ErrTooLong) {
		t.Errorf("read: %v, want ErrTooLong", err)
	}
}

// A part of a message is no message, whether the client leaves or the server gives it up.
func TestHalfAMessageIsNone(t *testing.T) {
	s := serve(t, nil)
	for name, end := range map[string]func(client *webtransport.Conn, stop func()){
		"the client leaves":      func(c *webtransport.Conn, _ func()) { _ = c.CloseNow() },
		"the server gives it up": func(_ *webtransport.Conn, stop func()) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			accepted := <-s.accepted
			defer accepted.CloseNow()
			if err := c.WriteRaw([]byte{0, 0, 0, 100, 1, 2, 3}); err != nil {
				t.Fatal(err)
			}

			reading, stop := context.WithCancel(t.Context())
			defer stop()
			r, err := accepted.NextReader(reading)
			if err != nil {
				t.Fatal(err)
			}
			half := make([]byte, 3)
			if _, err := io.ReadFull(r, half); err != nil {
				t.Fatal(err)
			}
			end(c, stop)
			if n, err := io.ReadFull(r, half); n != 0 || err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
				t.Errorf("then %d bytes, %v", n, err)
			}
		})
	}
}

// A client learns at its next word that its server is gone, or that another process serves in its place.
func TestClientLearnsThatItsServerWasKilled(t *testing.T) {
	for name, restarted := range map[string]bool{"gone": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			c := s.dial(t)
			want := any(new(syscall.Errno))
			if restarted {
				serveAt(t, s.at, nil) // first, so that the client never finds the port without a server
				want = new(*quic.StatelessResetError)
			}
			s.kill()

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			go func() { _, _ = c.Read(ctx) }()
			if err := c.Ping(ctx); !errors.As(err, want) {
				t.Errorf("ping: %v, want %T", err, want)
			}
		})
	}
}

func TestConnectionMoves(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	accepted := <-s.accepted
	ended := make(chan error, 1)
	go func() { ended <- echo(t.Context(), accepted) }()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		if err := c.Move(ctx); err != nil {
			t.Fatal(err)
		}
		exchange(t, c, []byte("from another port"))
	}
	if err := c.Move(ctx); err == nil {
		t.Error("a connection moved a third time")
	}

	_ = c.CloseNow()
	<-ended
	if err := accepted.Move(ctx); err == nil {
		t.Error("a server's end moved")
	}
}

// deaf is a socket that gets no answers: that of a client that forges its address, as a server sees it.
type deaf struct {
	net.PacketConn
	closed <-chan struct{}
	sent   func()
}

func (d deaf) ReadFrom([]byte) (int, net.Addr, error) {
	<-d.closed
	return 0, nil, net.ErrClosed
}

func (d deaf) WriteTo(p []byte, to net.Addr) (int, error) {
	defer d.sent()
	return d.PacketConn.WriteTo(p, to)
}

func (deaf) SetReadBuffer(int) error { return nil }

func (deaf) SetWriteBuffer(int) error { return nil }

// Forged addresses get 64 handshakes at a time, for which nobody pays. A client that answers from its own is served
// beside them.
func TestForgedAddressesAreFew(t *testing.T) {
	const forged, allowed = 80, 64
	var admitted atomic.Int32
	s := serve(t, func(context.Context, netip.AddrPort, func()) (any, error) {
		admitted.Add(1)
		return nil, nil
	})

	var dialing, sent sync.WaitGroup
	defer dialing.Wait()
	until, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	for range forged {
		sent.Add(1)
		socket := listenUDP(t)
		dialing.Go(func() {
			defer socket.Close()
			from := &quic.Transport{Conn: deaf{socket, until.Done(), sync.OnceFunc(sent.Done)}}
			defer from.Close()
			defer giveUp()
			_, _ = from.Dial(until, s.Addr(), s.trustOverQUIC(), &quic.Config{HandshakeIdleTimeout: patience})
		})
	}

	sent.Wait()
	s.dial(t)
	if n := s.Unproven(); n == 0 || n > allowed {
		t.Errorf("%d handshakes with forged addresses, want %d at most", n, allowed)
	}
	if n := admitted.Load(); n != 1 {
		t.Errorf("%d connections were admitted, want the honest one", n)
	}
}

// However quickly forged handshakes end, few of them begin in a second.
func TestForgedAddressesAreSlow(t *testing.T) {
	s := serve(t, nil)
	free := 0
	for range 10_000 {
		if !s.WantsProof() {
			free++
		}
	}
	if free < 100 || free > 1000 {
		t.Errorf("%d of 10,000 handshakes need no proof, want some 100", free)
	}
}

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

func (s *server) trustOverQUIC() *tls.Config {
	secure := s.trust.Clone()
	secure.ServerName, secure.NextProtos = "127.0.0.1", []string{http3.NextProtoH3}
	return secure
}

// dialQUIC returns a connection of a client that does with it whatever it wants.
func (s *server) dialQUIC(t *testing.T) *quic.Conn {
	t.Helper()
	socket := &quic.Transport{Conn: listenUDP(t)}
	t.Cleanup(func() { socket.Close(); socket.Conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	over, err := socket.Dial(ctx, s.Addr(), s.trustOverQUIC(), &quic.Config{
		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
		KeepAlivePeriod:                  time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return over
}

// A connection has one request, which becomes a session or ends it. Whoever asks for something else, for nothing, or
// for more, is cut off.
func TestConnectionHasOneRequest(t *testing.T) {
	s := serve(t, nil)
	for name, misuse := range map[string]func(*quic.Conn) error{
		"another request": func(over *quic.Conn) error {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1/", nil)
			if err != nil {
				return err
			}
			_, _ = new(http3.Transport).NewClientConn(over).RoundTrip(request)
			return nil
		},
		"half a request": func(over *quic.Conn) error {
			stream, err := over.OpenStream()
			if err != nil {
				return err
			}
			_, err = stream.Write([]byte{1, 0x44, 0})
			return err
		},
		"no request": func(*quic.Conn) error { return nil },
		"no HTTP/3": func(over *quic.Conn) error {
			stream, err := over.OpenStream()
			if err != nil {
				return err
			}
			_, err = stream.Write([]byte("GET / HTTP/1.1"))
			return err
		},
		"one stream after the other": func(over *quic.Conn) error {
			for range 100 {
				stream, err := over.OpenUniStreamSync(t.Context())
				if err != nil {
					return nil
				}
				if _, err := stream.Write([]byte{0x21}); err != nil { // of a kind that nobody knows
					return nil
				}
				_ = stream.Close()
			}
			return errors.New("a hundred streams were taken")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := s.dialQUIC(t)
			if err := misuse(over); err != nil {
				t.Error(err)
			}
			select {
			case <-over.Context().Done():
			case <-time.After(patience / 2):
				t.Error("the connection goes on")
			}
			var ended *quic.ApplicationError
			if err := context.Cause(over.Context()); !errors.As(err, &ended) || !ended.Remote {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// Dialing ends with its context, even if the server answers nothing after the handshake.
func TestDialEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	hangs := make(chan struct{})
	s := serveWith(t, "127.0.0.1:0", nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-hangs
	}))
	t.Cleanup(func() { close(hangs) })

	ctx, cancel := context.WithCancel(t.Context())
	dialed := make(chan error, 1)
	go func() {
		_, err := webtransport.Dialer{TLS: s.trust}.Dial(ctx, s.at)
		dialed <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-dialed:
		if err == nil {
			t.Error("connected to a server that answers nothing")
		}
	case <-time.After(patience / 2):
		t.Error("dialing goes on")
	}
}
