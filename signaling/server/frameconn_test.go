package server

import (
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
	"testing"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/webtransport"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

// overHTTP3 serves a handler over HTTP/3 until the test ends, and returns a function that connects to it.
func overHTTP3(t *testing.T, h http.Handler) (dial func() *webtransport.Conn) {
	t.Helper()
	certificate := selfsigned.New(t, "127.0.0.1")
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := webtransport.NewServer(socket, webtransport.ServerConfig{
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate}},
		Handler: h,
		Admit:   func(ctx context.Context, _ netip.AddrPort, _ func()) (any, error) { return nil, nil },
		Logger:  slog.New(slog.DiscardHandler),
	})

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return func() *webtransport.Conn {
		t.Helper()
		dialing, done := context.WithTimeout(ctx, patience)
		defer done()
		c, err := webtransport.Dialer{TLS: &tls.Config{RootCAs: roots}}.Dial(dialing, socket.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(signaling.MaxFrame)
		return c
	}
}

// Every message over WebTransport is paid for before it is handled, and so is a ping. Who cannot pay is cut off.
func TestMessagesOverWebTransportAreMetered(t *testing.T) {
	const affordable = 4
	var paid int64
	read, ended := make(chan int, affordable), make(chan error, 1)
	dial := overHTTP3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		frames, err := accept(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		frames.Meter(func(n int64) bool {
			paid += n
			return paid <= affordable
		})
		if err := frames.Write(r.Context(), []byte("challenge")); err != nil {
			t.Error(err)
		}
		go func() {
			defer frames.CloseNow()
			for {
				message, err := frames.NextReader(t.Context())
				if err != nil {
					ended <- err
					return
				}
				b, _ := io.ReadAll(message)
				read <- len(b)
			}
		}()
	}))

	c := dial()
	go func() {
		for err := error(nil); err == nil; _, err = c.Read(t.Context()) {
		}
	}()
	for _, n := range []int{3, 5} {
		if err := c.Write(t.Context(), make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if got := <-read; got != n {
			t.Errorf("%d bytes arrived, want %d", got, n)
		}
	}

	for range affordable - 2 {
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal("ping:", err)
		}
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("a ping that was not paid for is answered")
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading ended with %v", err)
	}
}

// A session over WebTransport pays for the memory that it may take, which is more than a WebSocket takes, and gives it
// back. A stopping relay tells its client.
func TestSessionsPayForTheirMemory(t *testing.T) {
	s, err := New(Config{
		PublicURL: "https://relay.example",
		Bus:       bus.NewLocal(),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	dial := overHTTP3(t, s)

	c := dial()
	const most = 512 << 10
	used := func(want, sessions int64) func() bool {
		return func() bool {
			return s.addresses.connections.Used() == want && s.Stats.WebTransport.Load() == sessions
		}
	}
	until(t, "the session has paid", used(most, 1))
	_ = c.CloseNow()
	until(t, "the session has its money back", used(0, 0))

	c = dial()
	cancel()
	var last signaling.Frame
	for {
		b, err := c.Read(t.Context())
		if err != nil {
			break
		}
		if last, err = signaling.Parse(b); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.CloseNow()
	if f, ok := last.(signaling.Refused); !ok || f.Code != signaling.CodeClosing {
		t.Errorf("the last frame is %+v, want that the relay is shutting down", last)
	}
}
