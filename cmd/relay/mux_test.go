package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// binding is a STUN request that every TURN server answers (RFC 8489, section 2.1).
func binding() []byte {
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 0}
	rand.Read(request[8:])
	return request
}

// speaks says what answers on a connection: "turn", "http" or "nobody".
func speaks(t *testing.T, c net.Conn, say []byte) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(say); err != nil {
		return "nobody"
	}
	answer, err := bufio.NewReader(c).Peek(8)
	switch {
	case err != nil:
		return "nobody"
	case bytes.HasPrefix(answer, []byte("HTTP/1.1")):
		return "http"
	case answer[0] == 1 && answer[1] == 1:
		return "turn"
	}
	t.Errorf("answered with %x", answer)
	return ""
}

// One port serves HTTP and TURN, with TLS and without, whatever of the two protocols the client names.
func TestSharedPort(t *testing.T) {
	page := []byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n")
	state := t.TempDir()
	secure, plain := serveRelay(t, "-tls-self-signed", "-state", state), serveRelay(t)
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(state, certificateFile)); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate", err)
	}
	for _, tt := range []struct {
		name string
		alpn []string
		say  []byte
		want string
	}{
		{"a browser's page", []string{"http/1.1"}, page, "http"},
		{"a page without ALPN", nil, page, "http"},
		{"a browser that hopes for HTTP/2", []string{"h2", "http/1.1"}, page, "http"},
		{"our TURN", []string{"stun.turn"}, binding(), "turn"},
		{"a browser's TURN", nil, binding(), "turn"},
		{"TURN that says it is HTTP", []string{"http/1.1"}, binding(), "turn"},
		{"neither", nil, []byte("\x16\x03\x01\r\n\r\n"), "http"}, // which answers 400
	} {
		c, err := tls.Dial("tcp", strings.TrimPrefix(secure.url, "https://"), &tls.Config{RootCAs: roots, NextProtos: tt.alpn})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := speaks(t, c, tt.say); got != tt.want || c.ConnectionState().Version != tls.VersionTLS13 {
			t.Errorf("%s over TLS: %s, want %s", tt.name, got, tt.want)
		}
		c.Close()
		raw, err := net.Dial("tcp", strings.TrimPrefix(plain.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if got := speaks(t, raw, tt.say); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		raw.Close()
	}
	for name, c := range map[string]*tls.Config{
		"TLS 1.2":          {RootCAs: roots, MaxVersion: tls.VersionTLS12},
		"another protocol": {RootCAs: roots, NextProtos: []string{"smtp"}},
	} {
		if _, err := tls.Dial("tcp", strings.TrimPrefix(secure.url, "https://"), c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// -turn-tls gives TURN a port of its own, or none.
func TestTURNOverTLSElsewhere(t *testing.T) {
	for _, tt := range []struct {
		flag   string
		tls    bool
		shared string // who answers to TURN on the main port
	}{{"", true, "turn"}, {"127.0.0.1:0", true, "http"}, {"off", false, "http"}} {
		cfg, err := parseConfig([]string{"-listen", "localhost:0", "-turn", "127.0.0.1:0", "-turn-tls", tt.flag, "-tls-self-signed", "-state", t.TempDir()}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		r := &relay{cfg: cfg, log: slog.New(slog.DiscardHandler)}
		if _, err := r.start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ready, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- r.serve(ctx, func() error { close(ready); return nil }) }()
		<-ready
		urls := slices.DeleteFunc(slices.Clone(r.turn.urls), func(u string) bool { return !strings.HasPrefix(u, "turns:") })
		if len(urls) == 1 != tt.tls {
			t.Fatalf("-turn-tls %q: urls %q", tt.flag, r.turn.urls)
		}
		main := strings.TrimPrefix(r.url, "https://")
		if tt.tls {
			at, ok := strings.CutPrefix(strings.TrimSuffix(urls[0], "?transport=tcp"), "turns:localhost:") // as the certificate says, not 127.0.0.1
			if !ok || (main == "localhost:"+at) != (tt.flag == "") {
				t.Errorf("-turn-tls %q: %q beside %s", tt.flag, urls[0], main)
			}
			if got := speaksTLS(t, "localhost:"+at, binding()); got != "turn" {
				t.Errorf("-turn-tls %q: %s answers at %s", tt.flag, got, urls[0])
			}
		}
		if got := speaksTLS(t, main, append(binding(), "\r\n\r\n"...)); got != tt.shared { // to HTTP it is a bad request
			t.Errorf("-turn-tls %q: %s answers to TURN at %s", tt.flag, got, r.url)
		}
		if got := speaksTLS(t, main, []byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n")); got != "http" {
			t.Errorf("-turn-tls %q: %s answers to HTTP", tt.flag, got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.close()
	}
}

func speaksTLS(t *testing.T, address string, say []byte) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // who answers is the question
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return speaks(t, c, say)
}

// Behind a proxy that takes TLS off, TURN cannot be reached by the public URL, and is not said to be.
func TestProxiedRelayHasNoTURNOverTLS(t *testing.T) {
	s := serveRelay(t, "-public-url", "https://relay.example")
	if strings.Contains(s.log.String(), "turns:") || !strings.Contains(s.log.String(), "?transport=udp") {
		t.Errorf("the log says %s", s.log)
	}
}

// pipes is a listener of connections that are made by hand.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return fakeAddr("pipes") }

// from is a connection from an address.
type from struct {
	net.Conn
	address string
}

func (c from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address))
}

// Who connects and says nothing, or not enough for a handshake, is closed in time; and cannot keep others out.
func TestSilentConnections(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var c *tls.Config
			if secure {
				c = new(tls.Config)
			}
			l := make(pipes)
			m := newMux(l, c, slog.New(slog.DiscardHandler))
			var sorting sync.WaitGroup
			connect := func(address string) net.Conn {
				near, far := net.Pipe()
				m.take(t.Context(), from{far, address}, &sorting)
				return near
			}
			var held []net.Conn
			for range maxUnsortedEach + 3 {
				held = append(held, connect("192.0.2.1:1000"))
			}
			for i := range maxUnsortedEach { // of one IPv6 client
				held = append(held, connect(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(i >> 8), 15: byte(i)}), 1000).String()))
			}
			held = append(held, connect("[2001::ffff:1]:1000"))
			if n := m.full.Load(); n != 4 || m.unsorted != 2*maxUnsortedEach {
				t.Errorf("%d connections refused, %d wait", n, m.unsorted)
			}
			other := connect("192.0.2.2:1000")
			began := time.Now()
			if secure {
				go other.Write([]byte{0x16, 3, 1}) // a handshake that goes no further
			}
			if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != sortWait {
				t.Errorf("closed after %v: %v", time.Since(began), err)
			}
			sorting.Wait()
			want := int64(2*maxUnsortedEach + 1)
			if n := m.silent.Load() + m.failed.Load(); n != want || (m.failed.Load() > 0) != secure {
				t.Errorf("%d silent, %d without a handshake, want %d", m.silent.Load(), m.failed.Load(), want)
			}
			if m.unsorted != 0 || len(m.sources) != 0 {
				t.Errorf("left behind: %d, %v", m.unsorted, m.sources)
			}
			for _, c := range held {
				c.Close()
			}
		})
	}
}

// A relay that stops does not wait for those who have not said what they want.
func TestStopUnderSilence(t *testing.T) {
	s := serveRelay(t, "-tls-self-signed")
	at := strings.TrimPrefix(s.url, "https://")
	silent, err1 := net.Dial("tcp", at)
	secure, err2 := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	defer secure.Close()
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > sortWait/2 {
		t.Errorf("the relay took %v to stop", took)
	}
}

// Connections to the shared port that came to nothing are in the metrics.
func TestSharedPortMetrics(t *testing.T) {
	s := serveRelay(t, "-metrics", "127.0.0.1:0", "-tls-self-signed")
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil { // plain, to a TLS port
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	_, body := get(t, &http.Client{Transport: transport}, s.url+"/metrics")
	for _, want := range []string{`peephole_port_refused_total{why="handshake"} 1`, `peephole_port_refused_total{why="full"} 0`, `peephole_port_refused_total{why="silent"} 0`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}
