package e2e

import (
	"context"
	"crypto/rand"
	"testing"
	"time"
)

func secret(t *testing.T) []byte {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// watch watches until n frames have come or the time is up, and returns what was shown.
func watch(t *testing.T, v watcher, name, mark string, n int, atMost time.Duration, relayOnly bool) (*seen, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	s := &seen{mark: mark, enough: n, done: cancel}
	return s, v.Watch(ctx, name, s.watch(relayOnly))
}

// A viewer pairs and sees its own camera's picture, live, directly and through the relay.
func TestViewerSeesItsOwnCamera(t *testing.T) {
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
			since := startStopwatch()
			s, err := watch(t, v, tt.camera, tt.mark, 20, patience, tt.relayOnly)
			if err != nil {
				t.Fatal(err)
			}
			if s.frames < 20 || s.live != s.frames && since.lost() < time.Second || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("frames %d, live %d, foreign %d, rejected %d; want 20 live frames of %q", s.frames, s.live,
					s.foreign, s.rejected, tt.mark)
			}

			if s.path.Kind != tt.path {
				t.Errorf("path %q (%s), want %q", s.path.Kind, s.path.Why, tt.path)
			}
		})
	}
}
