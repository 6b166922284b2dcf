package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// newRelay is a relay that was started and does not serve.
func newRelay(t *testing.T) *relay {
	t.Helper()
	cfg, err := parseConfig([]string{"-listen", "127.0.0.1:0", "-turn", "127.0.0.1:0", "-state", t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	t.Cleanup(r.close)
	if _, err := r.start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func recorded(t *testing.T, h http.Handler, path string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result()
}

func clientOf(t *testing.T, url string) *signaling.Client {
	t.Helper()
	c, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c
}

func TestTURNURLs(t *testing.T) {
	r := newRelay(t)
	urls := r.turn.urls
	if len(urls) != 4 || !strings.HasPrefix(urls[2], "stun:127.0.0.1:") || urls[2] == strings.TrimSuffix(strings.Replace(urls[0], "turn:", "stun:", 1), "?transport=udp") ||
		urls[3] != "turn:"+strings.TrimPrefix(r.url, "http://")+"?transport=tcp" {
		t.Errorf("urls %q, want TURN over UDP and TCP, another port for STUN, and the shared port of %s", urls, r.url)
	}
	r.cfg.turnPublic = "[2001:db8::1]:3478"
	if got := r.cfg.turnURLs(r.turn.server, r.url); len(got) != 3 || got[0] != "turn:[2001:db8::1]:3478?transport=udp" {
		t.Errorf("got %q", got)
	}
	port := r.turn.server.Addresses().UDP.Port()
	r.cfg.turnPublic = fmt.Sprintf("relay.example:%d", port)
	if got := r.cfg.turnURLs(r.turn.server, r.url); len(got) != 4 || got[2] != fmt.Sprintf("stun:relay.example:%d", port+1) {
		t.Errorf("got %q", got)
	}
}

// A relay serves without the port after -turn's, if another program has that.
func TestPortAfterIsTaken(t *testing.T) {
	var log bytes.Buffer
	s := &relay{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 { // until a port is free for UDP and TCP, and the next can be taken
		taken, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := taken.LocalAddr().(*net.UDPAddr).Port
		c := &config{turn: fmt.Sprintf("127.0.0.1:%d", port-1)}
		if s.turn, err = newTURN(c, "https://relay.example", nil, nil, s.log); err == nil {
			break
		}
	}
	if s.turn == nil {
		t.Fatal("no port is free")
	}
	defer s.close()
	if urls := s.turn.urls; len(urls) != 2 || strings.Count(log.String(), "devices cannot tell what kind of NAT") != 1 {
		t.Errorf("urls %q, log %s", urls, log.String())
	}
	for address, want := range map[string]string{":3478": ":3479", "[::1]:9": "[::1]:10", "127.0.0.1:0": "127.0.0.1:0", "x:65535": "x:65535", "x:stun": "x:stun"} {
		if got := portAfter(address); got != want {
			t.Errorf("port after %s: %s, want %s", address, got, want)
		}
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	path, now := t.TempDir()+"/self-signed.pem", time.Now()
	first, err := selfSigned(path, "relay.example", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, host string
		after      time.Duration
		same       bool
	}{
		{"again", "relay.example", time.Hour, true},
		{"near its end", "relay.example", certificateLife - renewBefore + time.Hour, false},
		{"for another host", "127.0.0.1", time.Hour, false},
	} {
		got, err := selfSigned(path, tt.host, now.Add(tt.after))
		if err != nil {
			t.Fatal(err)
		}
		if same := string(got.Certificate[0]) == string(first.Certificate[0]); same != tt.same {
			t.Errorf("%s: the same certificate: %v, want %v", tt.name, same, tt.same)
		}
	}
}

func TestDerivedURL(t *testing.T) {
	r := newRelay(t)
	for _, tt := range []struct {
		listen string
		tls    bool
		want   string
	}{
		{"127.0.0.1:80", false, "http://127.0.0.1"}, {"[::1]:443", true, "https://[::1]"}, {"LOCALHOST:8443", true, "https://localhost:8443"},
	} {
		r.cfg.listen, r.cfg.tlsSelfSigned = tt.listen, tt.tls
		if got := r.cfg.derivedURL(fakeAddr(tt.listen)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.listen, got, tt.want)
		}
	}
}

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }
