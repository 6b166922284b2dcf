package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// patience is how long a test waits for something before it fails.
const patience = 2 * time.Minute

// endpoint is a signaling server with its own port.
type endpoint struct {
	*Server
	url  string
	stop func() // takes effect once; returns when everything has ended
}

func start(t testing.TB, cfg Config) *endpoint { return startAt(t, "127.0.0.1:0", cfg) }

func startAt(t testing.TB, addr string, cfg Config) *endpoint {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.PublicURL = "http://" + l.Addr().String()
	if cfg.Bus == nil {
		cfg.Bus = bus.NewLocal()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}

	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc(signaling.Path, func(w http.ResponseWriter, r *http.Request) {
		if from := r.Header.Get(fromHeader); from != "" {
			r.RemoteAddr = net.JoinHostPort(from, "4711")
		}
		s.ServeHTTP(w, r)
	})

	hs := &http.Server{Handler: mux}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { _ = hs.Serve(l) })
	for s.Serving() != nil {
		runtime.Gosched()
	}

	stop := sync.OnceFunc(func() {
		cancel()
		if err := hs.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	t.Cleanup(stop)
	return &endpoint{s, cfg.PublicURL, stop}
}

func newMailbox() signaling.Mailbox {
	_, read, _ := ed25519.GenerateKey(rand.Reader)
	_, write, _ := ed25519.GenerateKey(rand.Reader)
	return signaling.Mailbox{Read: read, Write: write}
}

// client returns a signaling client that runs until the test ends.
func (e *endpoint) client(t testing.TB) *signaling.Client {
	t.Helper()
	c, err := signaling.NewClient(signaling.ClientConfig{URL: e.url})
	if err != nil {
		t.Fatal(err)
	}
	runClient(t, c)
	return c
}

func runClient(t testing.TB, c *signaling.Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// wire is a connection that sends exactly the frames that a test wants.
type wire struct {
	t     *testing.T
	ws    *websocket.Conn
	url   string
	nonce [32]byte
}

// fromHeader is the header that names the address from which a connection claims to come. Only this harness's servers
// believe it.
const fromHeader = "Test-From"

func (e *endpoint) wire(t *testing.T) *wire { return e.wireFrom(t, "") }

// wireFrom returns a connection from an address.
func (e *endpoint) wireFrom(t *testing.T, from string) *wire { return e.dial(t, from, new(net.Dialer)) }

// narrow returns a connection for which the kernel buffers little data.
func (e *endpoint) narrow(t *testing.T) *wire {
	return e.dial(t, "", &net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		return errors.Join(err, failed)
	}})
}

func (e *endpoint) dial(t *testing.T, from string, dialer *net.Dialer) *wire {
	t.Helper()
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	ws, _, err := websocket.Dial(ctx, "ws"+e.url[len("http"):]+signaling.Path, &websocket.DialOptions{
		Subprotocols: []string{signaling.Subprotocol},
		HTTPHeader:   http.Header{fromHeader: {from}},
		HTTPClient:   &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(signaling.MaxFrame)
	t.Cleanup(func() { ws.CloseNow() })

	w := &wire{t: t, ws: ws, url: e.url}
	c, ok := w.read().(signaling.Challenge)
	if !ok {
		t.Fatal("the first frame is not a challenge")
	}

	if d := time.Since(time.UnixMilli(int64(c.Time))); d < -time.Minute || d > time.Minute {
		t.Errorf("the server's time is off by %v", d)
	}
	w.nonce = c.Nonce
	return w
}

func (w *wire) read() signaling.Frame {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := w.ws.Read(ctx)
	if err != nil {
		w.t.Fatal("read:", err)
	}

	f, err := signaling.Parse(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *wire) send(f signaling.Frame) { w.t.Helper(); w.sendBytes(signaling.Append(nil, f)) }

func (w *wire) sendBytes(b []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.ws.Write(ctx, websocket.MessageBinary, b); err != nil {
		w.t.Fatal("write:", err)
	}
}

// ask sends a request and returns the answer's code, which is 0 for OK.
func (w *wire) ask(f signaling.Frame) signaling.Code {
	w.t.Helper()
	w.send(f)
	for {
		switch f := w.read().(type) {
		case signaling.OK, signaling.Granted:
			return 0
		case signaling.Refused:
			return f.Code
		}
	}
}

func (w *wire) open(mb signaling.Mailbox, a signaling.Access) signaling.Code {
	w.t.Helper()
	f := signaling.SignOpen(w.url, w.nonce, mb, a)
	f.ID = 1
	return w.ask(f)
}

func (w *wire) post(mb signaling.Mailbox, n int, ttl uint32) signaling.Code {
	w.t.Helper()
	return w.ask(signaling.Post{ID: 2, Name: mb.Name(), TTL: ttl, Body: bytes.Repeat([]byte{1}, n)})
}

// want fails the test if an answer is not the expected one.
func want(t *testing.T, what string, got, want signaling.Code) {
	t.Helper()
	if got != want {
		t.Errorf("%s: code %d, want %d", what, got, want)
	}
}

func (w *wire) ended() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, _, err := w.ws.Read(ctx); err != nil {
			return ctx.Err() == nil
		}
	}
}
