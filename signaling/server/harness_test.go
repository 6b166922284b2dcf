package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must happen; a test that waits for so long has failed.
const patience = 20 * time.Second

// endpoint is a signaling server on a port of its own.
type endpoint struct {
	*Server
	url  string
	stop func() // once; returns when everything has ended
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
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(signaling.Path, s)
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

// client is a signaling client that runs until the test ends.
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

// wire is a connection that says exactly what a test wants.
type wire struct {
	t     *testing.T
	ws    *websocket.Conn
	url   string
	nonce [32]byte
}

func (e *endpoint) wire(t *testing.T) *wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+e.url[len("http"):]+signaling.Path, &websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(signaling.MaxFrame)
	t.Cleanup(func() { ws.CloseNow() })
	w := &wire{t: t, ws: ws, url: e.url}
	c, ok := w.read().(signaling.Challenge)
	if !ok {
		t.Fatal("the first frame is no challenge")
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

// ask sends a request and returns the answer's code; 0: ok.
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

// want fails the test when an answer is not the expected one.
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
