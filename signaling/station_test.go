package signaling_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
)

const relayURL = "http://127.0.0.1:1"

// relay is a running relay. Clients reach it over pipes.
type relay struct {
	accept chan net.Conn
	gone   chan struct{} // closed when it has stopped
	stop   func()
}

func (r *relay) Accept() (net.Conn, error) {
	select {
	case c := <-r.accept:
		return c, nil
	case <-r.gone:
		return nil, net.ErrClosed
	}
}

func (r *relay) Close() error   { return nil }
func (r *relay) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }

func startRelay(t *rapid.T) *relay {
	r, err := newRelay(server.Config{PublicURL: relayURL})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newPrivate returns a camera's own server.
func newPrivate() (*server.Server, error) {
	return server.New(server.Config{Private: true, Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler)})
}

func newRelay(cfg server.Config) (*relay, error) {
	cfg.Bus, cfg.Logger = bus.NewLocal(), slog.New(slog.DiscardHandler)
	s, err := server.New(cfg)
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle(signaling.Path, s)
	r, h := &relay{accept: make(chan net.Conn), gone: make(chan struct{})}, &http.Server{Handler: mux}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { _ = h.Serve(r) })

	r.stop = func() {
		close(r.gone)
		cancel()
		_ = h.Close()
		running.Wait()
	}

	return r, nil
}

// station is a device with a real client.
type station struct {
	number int
	client *signaling.Client
	stop   func()
	lines  []*line
	reads  map[int]*reading // by mailbox
	holds  [3]atomic.Int32  // by mailbox: how often it is kept open for writing
	ghosts map[int]bool     // mailboxes that it stopped reading but held open, so the relay thinks it still reads them
}

// readsAt reports whether the relay thinks that the station reads a mailbox.
func (s *station) readsAt(box int) bool {
	return s.reads[box] != nil || s.ghosts[box] && s.holds[box].Load() > 0
}

func newMailbox(t *rapid.T) signaling.Mailbox {
	var keys []ed25519.PrivateKey
	for range 2 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}

	return signaling.Mailbox{Read: keys[0], Write: keys[1]}
}

func (w *relayWorld) newStation(t *rapid.T, number int) *station {
	client, err := signaling.NewClient(signaling.ClientConfig{URL: relayURL})
	if err != nil {
		t.Fatal(err)
	}
	s := &station{number: number, client: client, reads: make(map[int]*reading), ghosts: make(map[int]bool)}
	client.SetTransport(&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.dial(ctx, s)
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) })
	s.stop = func() { cancel(); running.Wait() }
	return s
}

func (w *relayWorld) dial(ctx context.Context, s *station) (net.Conn, error) {
	w.mu.Lock()
	r := w.relay
	w.mu.Unlock()
	l, err := r.dial(ctx, byte(s.number))
	if err != nil {
		return nil, err
	}

	w.mu.Lock()
	s.lines = append(s.lines, l)
	w.mu.Unlock()
	return l, nil
}

// dial connects to the relay from an address.
func (r *relay) dial(ctx context.Context, address byte) (*line, error) {
	ours, theirs := newLine(&net.TCPAddr{IP: net.IPv4(198, 51, 100, address), Port: 1})
	select {
	case r.accept <- theirs:
		return ours, nil
	case <-r.gone:
		ours.cut()
		theirs.cut()
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		ours.cut()
		theirs.cut()
		return nil, ctx.Err()
	}
}

// back waits until a station that has lost its connection has another.
func (s *station) back() {
	synctest.Wait() // until the station has noticed
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_ = s.client.Connect(ctx) // if this fails, check notices
}
