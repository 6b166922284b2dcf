package tcptest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"

	"github.com/peephole-cam/peephole/test/selfsigned"
)

// echo answers one byte with the same byte, until the client has no more.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

func TestServesSeveralConnectionsAtOnce(t *testing.T) {
	at := Start(t, echo)
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}

	for i, c := range open {
		wantEcho(t, c, byte(i))
	}
}

func TestServesTLS(t *testing.T) {
	certificate := selfsigned.New(t, "127.0.0.1")
	at := StartTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, echo)
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)

	c, err := tls.Dial("tcp", at.String(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantEcho(t, c, 7)
}

func TestConnectionIsClosedWhenItsHandlerReturns(t *testing.T) {
	at := Start(t, func(c net.Conn) { _, _ = io.WriteString(c, "bye") })
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
		t.Errorf("read %q: %v", got, err)
	}
}

// A handler that waits for its client for ever still ends with its test, and the listener with it.
func TestServerEndsWithItsTest(t *testing.T) {
	var at, ended = "", make(chan struct{})
	var client net.Conn
	t.Run("test", func(t *testing.T) {
		begun := make(chan struct{})
		at = Start(t, func(c net.Conn) {
			defer close(ended)
			close(begun)
			_, _ = io.Copy(io.Discard, c)
		}).String()

		var err error
		if client, err = net.Dial("tcp", at); err != nil {
			t.Fatal(err)
		}
		<-begun
	})

	defer client.Close()

	select {
	case <-ended:
	default:
		t.Error("the handler outlives the test")
	}

	if _, err := io.ReadAll(client); err != nil {
		t.Errorf("the connection stays open: %v", err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("the server still listens")
	}
}

func wantEcho(t *testing.T, c net.Conn, b byte) {
	t.Helper()
	if _, err := c.Write([]byte{b}); err != nil {
		t.Fatal(err)
	}
	var got [1]byte
	if _, err := io.ReadFull(c, got[:]); err != nil || got[0] != b {
		t.Errorf("read %d after writing %d: %v", got[0], b, err)
	}
}
