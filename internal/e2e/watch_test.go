package e2e

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

func secret(t *testing.T) []byte {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// seen is what a viewer was shown.
type seen struct {
	mu       sync.Mutex
	stills   int
	frames   int // of the stream
	live     int
	foreign  int // frames that do not carry the wanted mark
	rejected int
	path     session.Path
}

// watch watches until n frames have come or the time is up, and returns what was shown.
func watch(t *testing.T, v watcher, name, mark string, n int, atMost time.Duration, relayOnly bool) (*seen, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	s := &seen{}
	err := v.Watch(ctx, name, viewer.Watch{
		RelayOnly: relayOnly,
		OnFrame: func(f session.Frame) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.Contains(media.Marks(f.AccessUnit), mark) {
				s.foreign++
			}
			if f.Still { // came by signaling, before the stream
				s.stills++
				return
			}
			s.frames++
			if f.Live {
				s.live++
			}
			if s.frames == n {
				cancel()
			}
		},
		OnPath:   func(p session.Path) { s.mu.Lock(); s.path = p; s.mu.Unlock() },
		OnReject: func(session.Rejection) { s.mu.Lock(); s.rejected++; s.mu.Unlock() },
	})
	return s, err
}

// A viewer pairs and sees its own camera's picture, live, directly and through the relay.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	front, back := startCamera(t, r, "front door", 0), startCamera(t, r, "back yard", 1)
	v := pair(t, front)
	pairWith(t, v, back)
	for _, tt := range []struct {
		name, camera, mark, path string
		relayOnly                bool
	}{
		{"direct", "front door", front.Mark, "direct", false},
		{"relayed", "front door", front.Mark, "relay", true},
		{"high profile", "back yard", back.Mark, "direct", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := watch(t, v, tt.camera, tt.mark, 20, 20*time.Second, tt.relayOnly)
			if err != nil {
				t.Fatal(err)
			}
			if s.frames < 20 || s.live != s.frames || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("frames %d, live %d, foreign %d, rejected %d; want 20 live frames of %q", s.frames, s.live, s.foreign, s.rejected, tt.mark)
			}
			if s.path.Kind != tt.path {
				t.Errorf("path %q (%s), want %q", s.path.Kind, s.path.Why, tt.path)
			}
		})
	}
}
