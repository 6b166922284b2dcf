package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// one is a listener with one connection.
type one struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error   { close(l.done); return nil }
func (l *one) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }

// remote is one end of a pipe, with an address.
type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// A client that reads but sends nothing, not even pongs, loses its connection after a minute.
func TestSilenceEndsTheConnection(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, err := New(Config{PublicURL: "https://relay.example", Bus: discard{}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		l := &one{make(chan net.Conn, 1), make(chan struct{})}
		l.conn <- remote{theirs}
		hs := &http.Server{Handler: s}
		served := make(chan error, 1)
		go func() { served <- hs.Serve(l) }()

		begin := time.Now()
		request := "GET " + signaling.Path +
			" HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " +
			signaling.Subprotocol + "\r\n\r\n"
		if _, err := io.WriteString(ours, request); err != nil {
			t.Fatal(err)
		}

		r := bufio.NewReader(ours)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %v %v", response, err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil && err != io.ErrClosedPipe {
			t.Fatal(err)
		}

		if d := time.Since(begin); d < pingInterval || d > silence+finishTimeout+5*time.Second {
			t.Errorf("the connection ended after %v, want about %v", d, silence)
		}
		synctest.Wait()
		if n := s.Stats.Connections.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}

		if err := hs.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
}
