package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// binding is a STUN request that every TURN server answers (RFC 8489, section 2.1).
func binding() []byte {
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 0}
	rand.Read(request[8:])
	return request
}

// speaks sends text on a connection, and returns the protocol that answers: "turn", "http" or "nobody".
func speaks(t *testing.T, c net.Conn, say []byte) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
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

// One port serves HTTP and TURN, with and without TLS, whichever protocol the client names in ALPN.
func TestOnePortServesHTTPAndTURN(t *testing.T) {
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
		{"neither", nil, []byte("\x16\x03\x01\r\n\r\n"), "http"}, // HTTP answers 400
	} {
		c, err := tls.Dial("tcp", strings.TrimPrefix(secure.url, "https://"),
			&tls.Config{RootCAs: roots, NextProtos: tt.alpn})
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
func TestTURNTLSHasAPortOfItsOwnOrNone(t *testing.T) {
	for _, tt := range []struct {
		flag   string
		tls    bool
		shared string // the protocol that answers a TURN request on the main port
	}{{"", true, "turn"}, {"127.0.0.1:0", true, "http"}, {"off", false, "http"}} {
		s := serveRelay(t, "-listen", "localhost:0", "-turn-tls", tt.flag, "-tls-self-signed")
		all := strings.Fields(s.turnURLs(t))
		urls := slices.DeleteFunc(slices.Clone(all), func(u string) bool { return !strings.HasPrefix(u, "turns:") })
		if len(urls) == 1 != tt.tls {
			t.Fatalf("-turn-tls %q: urls %q", tt.flag, all)
		}

		main := strings.TrimPrefix(s.url, "https://")
		if tt.tls {
			// the name in the certificate, not 127.0.0.1
			at, ok := strings.CutPrefix(strings.TrimSuffix(urls[0], "?transport=tcp"), "turns:localhost:")
			if !ok || (main == "localhost:"+at) != (tt.flag == "") {
				t.Errorf("-turn-tls %q: %q beside %s", tt.flag, urls[0], main)
			}

			if got := speaksTLS(t, "localhost:"+at, binding()); got != "turn" {
				t.Errorf("-turn-tls %q: %s answers at %s", tt.flag, got, urls[0])
			}
		}

		// because of its line feeds, HTTP takes it for a bad request and answers
		if got := speaksTLS(t, main, append(binding(), "\r\n\r\n"...)); got != tt.shared {
			t.Errorf("-turn-tls %q: %s answers to TURN at %s", tt.flag, got, s.url)
		}
		if got := speaksTLS(t, main, []byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n")); got != "http" {
			t.Errorf("-turn-tls %q: %s answers to HTTP", tt.flag, got)
		}
		s.stop()
	}
}

// turnURLs returns the TURN URLs that a relay names in its log.
func (s *served) turnURLs(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(s.log.String(), ` turn="`)
	urls, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("the log says %s", s.log)
	}
	return urls
}

func speaksTLS(t *testing.T, address string, say []byte) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // only the protocol matters here
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return speaks(t, c, say)
}

// If a proxy ends TLS, clients cannot reach TURN at the public URL, so the relay does not offer it there.
func TestProxiedRelayHasNoTURNOverTLS(t *testing.T) {
	s := serveRelay(t, "-public-url", "https://relay.example")
	if strings.Contains(s.log.String(), "turns:") || !strings.Contains(s.log.String(), "?transport=udp") {
		t.Errorf("the log says %s", s.log)
	}
}

// A relay that stops does not wait for clients that have sent nothing.
func TestStopDoesNotWaitForSilentClients(t *testing.T) {
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
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the relay took %v to stop", took)
	}
}

// The metrics count the connections that a door refuses, by door and reason, and the connections in each class.
func TestDoorsAreInTheMetrics(t *testing.T) {
	s := serveRelay(t, "-metrics", "127.0.0.1:0", "-tls-self-signed")
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil { // without TLS, at a TLS port
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	_, body := get(t, &http.Client{Transport: transport}, s.url+"/metrics")
	for _, want := range []string{
		`peephole_door_refused_total{door="listen",why="handshake"} 1`,
		`peephole_door_refused_total{door="listen",why="share"} 0`,
		`peephole_door_refused_total{door="turn",why="silent"} 0`,
		`peephole_door_refused_total{door="metrics",why="full"} 0`,
		`peephole_door_connections{class="stranger"} 1`,
		`peephole_door_connections{class="ticket"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}
