package e2e

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/turn"
	"github.com/peephole-cam/peephole/viewer"
	"github.com/peephole-cam/peephole/web"
)

// relay is a whole relay inside the test, so that a test can stand in its place.
type relay struct {
	URL     string
	udp     string // of TURN
	bus     bus.Bus
	server  *server.Server
	turn    *turn.Server
	http    *http.Server
	granter *granter
}

// granter hands out what the relay's TURN server accepts.
type granter struct {
	keys *turn.Keys
	mu   sync.Mutex
	urls []string // guarded by mu
}

// grantURLs puts the TURN server somewhere else, for sessions from now on.
func (r *relay) grantURLs(urls ...string) {
	r.granter.mu.Lock()
	defer r.granter.mu.Unlock()
	r.granter.urls = urls
}

func (g *granter) Grant(now time.Time) (signaling.Grant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	grant, err := g.keys.Grant(now, 10*time.Minute)
	return signaling.Grant{URLs: g.urls, TTL: 600,
		Viewer: signaling.Credentials{Username: grant.Viewer.Username, Credential: grant.Viewer.Password},
		Camera: signaling.Credentials{Username: grant.Camera.Username, Credential: grant.Camera.Password},
	}, err
}

// logger writes what the test's parts say when PEEPHOLE_TEST_LOG is set.
func logger(t *testing.T) *slog.Logger {
	if os.Getenv("PEEPHOLE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// startRelay serves a relay on loopback until the test ends. b is its bus: a test that gives its own sees and changes all
// that is delivered; nil: an honest one.
func startRelay(t *testing.T, b bus.Bus) *relay {
	t.Helper()
	if b == nil {
		b = bus.NewLocal()
	}
	return serveRelay(t, b, nil)
}

// startRecordedRelay is an honest relay with a tape of all that it receives, sends and logs, at debug level.
func startRecordedRelay(t *testing.T, p *tape) *relay {
	t.Helper()
	return serveRelay(t, bus.NewLocal(), p)
}

func serveRelay(t *testing.T, b bus.Bus, p *tape) *relay {
	t.Helper()
	log := logger(t)
	if p != nil {
		log = slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	keys, err := turn.NewKeys(secret(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	turnServer, err := turn.New(turn.Config{Address: "127.0.0.1:0", Keys: keys, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{URL: "http://" + listener.Addr().String(), bus: b, turn: turnServer}
	addresses := turnServer.Addresses()
	r.udp = addresses.UDP.String()
	if p != nil {
		r.URL = "http://" + recordTCP(t, listener.Addr().String(), p)
		r.udp = recordUDP(t, net.UDPAddrFromAddrPort(addresses.UDP), p)
	}
	urls := []string{"turn:" + r.udp + "?transport=udp", "turn:" + addresses.TCP.String() + "?transport=tcp"}
	r.granter = &granter{keys: keys, urls: urls}
	r.server, err = server.New(server.Config{PublicURL: r.URL, Granter: r.granter, Bus: b, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(signaling.Path, r.server)
	mux.Handle("/", http.FileServerFS(web.Files()))
	r.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	run(t, func(ctx context.Context) error { return r.server.Run(ctx) })
	run(t, func(ctx context.Context) error { return turnServer.Run(ctx) })
	run(t, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { r.http.Close() })
		defer stop()
		if err := r.http.Serve(listener); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	return r
}

// run runs f beside the test, ends it with the test and reports its error.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// household is one simulated camera and what tests know of it.
type household struct {
	*camera.Camera
	Feed  *media.Feed
	Mark  string // the SEI mark in each of its access units
	codes chan pairing.Code
	state string
}

// startCamera runs a simulated camera until the test ends.
func startCamera(t *testing.T, r *relay, name string, clip int) *household {
	t.Helper()
	return runCamera(t, r.URL, name, clip, filepath.Join(t.TempDir(), name))
}

func runCamera(t *testing.T, relayURL, name string, clip int, state string) *household {
	t.Helper()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	h := &household{Mark: "household of " + name, codes: make(chan pairing.Code, 16), state: state}
	h.Feed = media.NewFeed(clips[clip].Source(h.Mark), media.FeedOptions{Log: logger(t)})
	h.Camera, err = camera.New(camera.Config{
		State: h.state, Name: name, RelayURL: relayURL, PairWindow: time.Hour, PairMore: true, Stream: h.Feed, Logger: logger(t),
		OnCode: func(c pairing.Code) { h.codes <- c }, OnPaired: func(string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, h.Feed.Run)
	run(t, h.Camera.Run)
	return h
}

// code waits for the camera's next pairing code.
func (h *household) code(t *testing.T) pairing.Code {
	t.Helper()
	select {
	case c := <-h.codes:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("the camera shows no pairing code")
		return pairing.Code{}
	}
}

// watcher is a viewer and where it keeps its keys.
type watcher struct {
	*viewer.Viewer
	state string
}

func newViewer(t *testing.T) watcher {
	t.Helper()
	state := t.TempDir()
	v, err := viewer.Open(viewer.Config{State: state, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return watcher{v, state}
}

// pair pairs a new viewer with a camera.
func pair(t *testing.T, h *household) watcher {
	t.Helper()
	v := newViewer(t)
	pairWith(t, v, h)
	return v
}

func pairWith(t *testing.T, v watcher, h *household) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := v.Pair(ctx, h.code(t).URI()); err != nil {
		t.Fatalf("pair: %v", err)
	}
}
