package e2e

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/viewer"
)

// logger logs what the parts of a test say if PEEPHOLE_TEST_LOG is set.
func logger(t *testing.T) *slog.Logger {
	if os.Getenv("PEEPHOLE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("test",
		t.Name())
}

// startCloud runs a relay in this process, which can be made to fail, until the test ends.
func startCloud(t *testing.T, cfg evilcloud.Config) *evilcloud.Cloud {
	t.Helper()
	cfg.Logger = logger(t)
	c, err := evilcloud.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	run(t, c.Run)

	return c
}

// startRelay runs an honest relay in this process.
func startRelay(t *testing.T) *evilcloud.Cloud {
	t.Helper()
	return startCloud(t, evilcloud.Config{})
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

// household is one simulated camera and what tests know about it.
type household struct {
	*camera.Camera
	Feed  *media.Feed
	Mark  string // the SEI mark in each of its access units
	codes chan pairing.Code
	state string
	stop  func()            // ends the camera and waits
	again func() *household // starts the same camera anew
}

// startCamera runs a simulated camera until the test ends.
func startCamera(t *testing.T, c *evilcloud.Cloud, name string, clip int) *household {
	t.Helper()
	return runCamera(t, c.URLs()[0], name, clip, filepath.Join(t.TempDir(), name))
}

func runCamera(t *testing.T, relayURL, name string, clip int, state string) *household {
	t.Helper()
	return runCameraBy(t, nil, relayURL, name, clip, state)
}

// runCameraBy runs a simulated camera by a clock of the test's; nil: the machine's.
func runCameraBy(t *testing.T, clock *expiry.Clock, relayURL, name string, clip int, state string) *household {
	t.Helper()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	mark := "household of " + name
	h := runCameraOf(t, clock, relayURL, name, clips[clip].Source(mark), state)
	h.Mark = mark
	h.again = func() *household { return runCameraBy(t, clock, relayURL, name, clip, state) }

	return h
}

// runCameraOf runs a simulated camera that shows a source.
func runCameraOf(
	t *testing.T, clock *expiry.Clock, relayURL, name string, source media.Source, state string,
) *household {
	t.Helper()
	cfg := camera.Config{State: state, Name: name, RelayURL: relayURL, Clock: clock, Logger: logger(t)}
	return runCameraWith(t, cfg, source)
}

// runCameraWith runs a simulated camera, which shows its codes for an hour.
func runCameraWith(t *testing.T, cfg camera.Config, source media.Source) *household {
	t.Helper()
	h := &household{codes: make(chan pairing.Code, 16), state: cfg.State}
	h.Feed = media.NewFeed(source, media.FeedOptions{Log: logger(t)})
	cfg.PairWindow, cfg.PairMore = time.Hour, true
	cfg.Stream = h.Feed
	cfg.OnCode, cfg.OnPaired = h.show, func(identity.Fingerprint) {}
	var err error
	h.Camera, err = camera.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	run(t, h.Feed.Run)
	h.stop = run(t, h.Camera.Run)
	return h
}

// show keeps a code that the camera shows. Where a faulty cloud prevents pairing, a camera shows many, and the oldest
// have expired.
func (h *household) show(c pairing.Code) {
	for {
		select {
		case h.codes <- c:
			return
		default:
		}
		select {
		case <-h.codes:
		default:
		}
	}
}

// code waits for the camera's next pairing code.
func (h *household) code(t *testing.T) pairing.Code {
	t.Helper()
	select {
	case c := <-h.codes:
		return c
	case <-time.After(patience):
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
	return newViewerBy(t, nil)
}

// newViewerBy returns a viewer by a clock of the test's; nil: the machine's.
func newViewerBy(t *testing.T, clock *expiry.Clock) watcher {
	t.Helper()
	state := t.TempDir()
	v, err := viewer.Open(viewer.Config{State: state, Clock: clock, Logger: logger(t)})
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := v.Pair(ctx, h.code(t)); err != nil {
		t.Fatalf("pair: %v", err)
	}
}
