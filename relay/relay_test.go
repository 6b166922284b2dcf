package relay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits before it ends what hangs.
const patience = 2 * time.Minute

// newRelay returns a relay on this machine that does not serve yet.
func newRelay(t *testing.T, edit ...func(*Config)) *Relay {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0"}
	for _, f := range edit {
		f(&cfg)
	}

	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error("close relay:", err)
		}
	})

	return r
}

// serveRelay returns a relay on this machine that serves until the test ends.
func serveRelay(t *testing.T, edit ...func(*Config)) *Relay {
	t.Helper()
	ready := make(chan struct{})
	r := newRelay(t, append(edit, func(c *Config) { c.OnReady = func() { close(ready) } })...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("run relay:", err)
		}
	})

	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal("the relay ended before it was ready:", err)
	}

	return r
}

func recorded(t *testing.T, h http.Handler, path string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result()
}

func TestTURNURLs(t *testing.T) {
	r := newRelay(t)
	urls := r.turn.urls
	if len(urls) != 4 || !strings.HasPrefix(urls[2], "stun:127.0.0.1:") ||
		urls[2] == strings.TrimSuffix(strings.Replace(urls[0], "turn:", "stun:", 1), "?transport=udp") ||
		urls[3] != "turn:"+strings.TrimPrefix(r.url, "http://")+"?transport=tcp" {
		t.Errorf("urls %q, want TURN over UDP and TCP, another port for STUN, and the shared port of %s", urls, r.url)
	}

	at, streams := r.turn.server.Addresses(), turnStreams{tcp: listenTCP(t), shared: listenTCP(t)}
	r.cfg.TURNPublic = "[2001:db8::1]:3478"
	if got := r.cfg.turnURLs(at, streams, r.url); len(got) != 3 || got[0] != "turn:[2001:db8::1]:3478?transport=udp" {
		t.Errorf("got %q", got)
	}

	port := at.UDP.Port()
	r.cfg.TURNPublic = fmt.Sprintf("relay.example:%d", port)
	if got := r.cfg.turnURLs(at, streams, r.url); len(got) != 4 ||
		got[2] != fmt.Sprintf("stun:relay.example:%d", port+1) {
		t.Errorf("got %q", got)
	}
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// If another program has the port after TURN's, the relay does without it.
func TestRelayDoesWithoutTheNextPort(t *testing.T) {
	var log bytes.Buffer
	s := &Relay{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 { // until the port before a taken one is free
		taken, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()

		port := taken.LocalAddr().(*net.UDPAddr).Port
		c := &Config{TURN: fmt.Sprintf("127.0.0.1:%d", port-1)}
		if s.turn, err = newTURN(c, "https://relay.example", turnStreams{tcp: listenTCP(t)}, s.log); err == nil {
			break
		}
	}

	if s.turn == nil {
		t.Fatal("no port is free")
	}
	defer s.turn.server.Close()
	if urls := s.turn.urls; len(urls) != 2 || strings.Count(log.String(), "devices cannot tell what kind of NAT") != 1 {
		t.Errorf("urls %q, log %s", urls, log.String())
	}

	for address, want := range map[string]string{":3478": ":3479", "[::1]:9": "[::1]:10", "127.0.0.1:0": "127.0.0.1:0",
		"x:65535": "x:65535", "x:stun": "x:stun"} {
		if got := portAfter(address); got != want {
			t.Errorf("port after %s: %s, want %s", address, got, want)
		}
	}
}

func TestDerivedURL(t *testing.T) {
	for _, tt := range []struct {
		listen string
		tls    bool
		want   string
	}{
		{"127.0.0.1:80", false, "http://127.0.0.1"},
		{"[::1]:443", true, "https://[::1]"},
		{"LOCALHOST:8443", true, "https://localhost:8443"},
	} {
		if got := DerivedURL(tt.listen, tt.tls); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.listen, got, tt.want)
		}
	}
}

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }
