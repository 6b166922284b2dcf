package relay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/webtransport"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

// overTLS gives a relay a certificate, and returns what trusts it.
func overTLS(t *testing.T) (edit func(*Config), trust *tls.Config) {
	t.Helper()
	certificate := selfsigned.New(t, "127.0.0.1")
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	edit = func(c *Config) {
		c.SelfSigned = true
		c.Certificate = func(string) (*tls.Certificate, error) { return &certificate, nil }
	}
	return edit, &tls.Config{RootCAs: roots}
}

// runningClient returns a client that runs until the test ends.
func runningClient(t *testing.T, cfg signaling.ClientConfig) *signaling.Client {
	t.Helper()
	c, err := signaling.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })

	connecting, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := c.Connect(connecting); err != nil {
		t.Fatal(err)
	}
	return c
}

func newMailbox(t *testing.T) signaling.Mailbox {
	t.Helper()
	_, read, err1 := ed25519.GenerateKey(rand.Reader)
	_, write, err2 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return signaling.Mailbox{Read: read, Write: write}
}

func TestMessagesCrossFromWebTransportToTheWebSocket(t *testing.T) {
	secure, trust := overTLS(t)
	r := serveRelay(t, secure, func(c *Config) { c.WebTransport = "127.0.0.1:0" })
	if r.webTransport == nil {
		t.Fatal("the relay serves no WebTransport")
	}

	c, err := webtransport.Dialer{TLS: trust}.Dial(t.Context(), r.webTransport.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(signaling.MaxFrame)
	if n := r.SignalingStats().WebTransport.Load(); n != 1 {
		t.Errorf("%d connections over WebTransport, want 1", n)
	}

	read := func() signaling.Frame { t.Helper(); return readFrame(t, c) }
	challenge, ok := read().(signaling.Challenge)
	if !ok {
		t.Fatal("the first frame is no challenge")
	}

	mailbox := newMailbox(t)
	open := signaling.SignOpen(r.URL(), challenge.Nonce, mailbox, signaling.Read)
	if err := c.Write(t.Context(), signaling.Append(nil, open)); err != nil {
		t.Fatal(err)
	}
	if f, ok := read().(signaling.OK); !ok {
		t.Fatalf("opening was answered with %#v", f)
	}

	other := runningClient(t, signaling.ClientConfig{URL: r.URL(), TLS: trust})
	body := make([]byte, 40_000) // larger than a stream's window
	rand.Read(body)
	if err := other.Send(t.Context(), mailbox, body, time.Minute); err != nil {
		t.Fatal(err)
	}
	if d, ok := read().(signaling.Deliver); !ok || string(d.Body) != string(body) {
		t.Error("another message was delivered")
	}
}

// A connection over HTTP/3 has a stranger's place until its client shows a mailbox, and none once it is gone.
func TestWebTransportTakesPlaces(t *testing.T) {
	secure, trust := overTLS(t)
	r := serveRelay(t, secure, func(c *Config) { c.WebTransport = "127.0.0.1:0" })
	c, err := webtransport.Dialer{TLS: trust}.Dial(t.Context(), r.webTransport.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	holds(t, r, 1, 0)

	open := signaling.SignOpen(r.URL(), readFrame(t, c).(signaling.Challenge).Nonce, newMailbox(t), signaling.Write)
	if err := c.Write(t.Context(), signaling.Append(nil, open)); err != nil {
		t.Fatal(err)
	}
	holds(t, r, 0, 1)

	_ = c.CloseNow()
	holds(t, r, 0, 0)
}

// holds waits until strangers and admitted addresses have this many places.
func holds(t *testing.T, r *Relay, strangers, addresses int64) {
	t.Helper()
	until(t, fmt.Sprintf("strangers have %d places, and addresses %d", strangers, addresses), func() bool {
		got := r.Connections()
		return got["stranger"] == strangers && got["address"] == addresses
	})
}

// until waits for something that comes about by itself.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within patience: ", what)
		}
	}
}

// readFrame returns the next frame of a connection.
func readFrame(t *testing.T, c *webtransport.Conn) signaling.Frame {
	t.Helper()
	b, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := signaling.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// One address that has used up its work, or its places, is refused before the handshake. Others are not.
func TestWebTransportIsLimitedByAddress(t *testing.T) {
	greedy, honest := netip.MustParseAddrPort("192.0.2.1:4711"), netip.MustParseAddrPort("198.51.100.1:4711")
	for why, files := range map[refusal]int{refusedWork: 1 << 20, refusedShare: 512} {
		t.Run(string(why), func(t *testing.T) {
			places := newPlaces(files, &Config{})
			w := &webTransport{entrance: newEntrance("webtransport", places, slog.New(slog.DiscardHandler))}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			admitted := 0
			for ; admitted < 1<<16; admitted++ {
				if _, err := w.admit(ctx, greedy, func() {}); err != nil {
					break
				}
			}
			if admitted == 0 || admitted == 1<<16 || w.refused[why].Load() != 1 {
				t.Errorf("%d admitted, then refused %d times", admitted, w.refused[why].Load())
			}
			if _, err := w.admit(ctx, honest, func() {}); err != nil {
				t.Error("another address:", err)
			}
		})
	}
}

// HTTP/3 serves signaling, and neither the page nor anything else.
func TestWebTransportServesSignalingAlone(t *testing.T) {
	r := newRelay(t)
	h := r.webTransportHandler()
	for path, method := range map[string]string{
		"/": http.MethodGet, "/metrics": http.MethodGet, signaling.Path: http.MethodGet,
		webtransport.Path: http.MethodGet, "/other": http.MethodConnect,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code < 400 {
			t.Errorf("%s %s: status %d", method, path, w.Code)
		}
	}
}

// A relay whose UDP port is taken does without WebTransport, unless it was asked for.
func TestRelayDoesWithoutWebTransport(t *testing.T) {
	secure, _ := overTLS(t)
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.LocalAddr().String()

	var log bytes.Buffer
	r := &Relay{cfg: Config{Listen: "127.0.0.1:0"}, log: slog.New(slog.NewTextHandler(&log, nil))}
	secure(&r.cfg)
	r.main = newDoor("listen", listensAt(at), newPlaces(1<<16, &r.cfg), slog.New(slog.DiscardHandler))
	if err := r.openWebTransport(); err != nil || r.webTransport != nil ||
		!strings.Contains(log.String(), "signaling over WebSocket alone, because the UDP port cannot be had") {
		t.Errorf("%v, webtransport %v; log %s", err, r.webTransport, log.String())
	}

	r.cfg.WebTransport = at
	var failed *ListenError
	if err := r.openWebTransport(); !errors.As(err, &failed) || failed.Field != "WebTransport" {
		t.Errorf("asked for: %v, want a ListenError", err)
	}
}

// listensAt is a TCP listener that only has an address.
type listensAt string

func (listensAt) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (listensAt) Close() error              { return nil }
func (l listensAt) Addr() net.Addr          { return fakeAddr(l) }

// relayOnBoth returns a relay that has one port number for TCP and UDP, and does not serve yet.
func relayOnBoth(t *testing.T, secure func(*Config)) *Relay {
	t.Helper()
	for range 100 { // until the UDP port is free too
		if r := newRelay(t, secure); r.webTransport != nil {
			return r
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil
}

// A client that may use both is connected by what gets through, and by that alone.
func TestClientIsConnectedByWhatGetsThrough(t *testing.T) {
	type port int
	const serves, hangs, refuses port = 0, 1, 2
	for name, tt := range map[string]struct{ tcp, udp port }{
		"both":        {serves, serves},
		"TCP hangs":   {hangs, serves},
		"TCP refuses": {refuses, serves},
		"UDP hangs":   {serves, hangs},
		"UDP refuses": {serves, refuses},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secure, trust := overTLS(t)
			r := relayOnBoth(t, secure)
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			run := func(part func(context.Context) error) {
				running.Go(func() {
					if err := part(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			t.Cleanup(func() { cancel(); running.Wait() })

			run(r.signaling.Run)
			switch tt.tcp {
			case serves:
				run(r.main.Run)
				run(func(ctx context.Context) error { return r.serveHTTP(ctx, r.main, r.handler()) })
			case refuses:
				r.main.Close()
			}
			switch tt.udp {
			case serves:
				run(r.webTransport.Run)
			case refuses:
				r.webTransport.Close()
			}

			runningClient(t, signaling.ClientConfig{URL: r.URL(), TLS: trust, WebTransport: true})
			stats := r.SignalingStats()
			until(t, "one connection is left", func() bool { return stats.Connections.Load() == 1 })
			if over := stats.WebTransport.Load(); tt.tcp != serves && over != 1 || tt.udp != serves && over != 0 {
				t.Errorf("%d connections over WebTransport", over)
			}
		})
	}
}

// A client that changes networks takes its connection along.
func TestRedialMovesTheConnection(t *testing.T) {
	secure, trust := overTLS(t)
	r := relayOnBoth(t, secure)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.signaling.Run(ctx) })
	running.Go(func() { _ = r.webTransport.Run(ctx) }) // TCP hangs
	t.Cleanup(func() { cancel(); running.Wait() })

	var connected atomic.Int32
	noteState := func(err error) {
		if err == nil {
			connected.Add(1)
		}
	}
	c := runningClient(t, signaling.ClientConfig{URL: r.URL(), TLS: trust, WebTransport: true, OnState: noteState})
	mailbox := newMailbox(t)
	for range 2 {
		c.Redial()
		if err := c.Send(t.Context(), mailbox, []byte("from another port"), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if n := connected.Load(); n != 1 {
		t.Errorf("connected %d times, want once", n)
	}
}

// A relay whose UDP port fails goes on without WebTransport.
func TestRelayOutlivesItsUDPPort(t *testing.T) {
	secure, trust := overTLS(t)
	var log lockedBuffer
	r := serveRelay(t, secure, func(c *Config) {
		c.WebTransport = "127.0.0.1:0"
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	_ = r.webTransport.Close() // its own end of the socket may come first
	until(t, "it is logged", func() bool {
		return strings.Contains(log.String(), "signaling over WebSocket alone, because the UDP port has failed")
	})
	runningClient(t, signaling.ClientConfig{URL: r.URL(), TLS: trust, WebTransport: true})
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}
