package session

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/session/handshake"
)

// The first picture arrives by signaling, before the stream, and is live. The stream then begins with its own keyframe.
func TestFirstPicture(t *testing.T) {
	var camera CameraConfig
	h := newHouse(t, &camera, quiet())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	var frames []handshake.Frame
	live := false // the first frame, when it came

	h.viewer.OnFrame = func(f handshake.Frame) {
		mu.Lock()
		defer mu.Unlock()
		if len(frames) == 0 {
			live = f.Live()
		}
		if frames = append(frames, f); len(frames) == 3 {
			cancel()
		}
	}

	v, err := NewViewer(h.viewer)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(ctx); err != nil {
		t.Fatal(err)
	}

	<-h.camera
	mu.Lock()
	defer mu.Unlock()
	if len(frames) < 3 || !frames[0].Still || !live ||
		!bytes.Equal(frames[0].AccessUnit, []byte("a picture")) {
		t.Fatalf("%+v; want a live still first", frames)
	}

	if slices.ContainsFunc(frames[1:], func(f handshake.Frame) bool {
		return f.Still
	}) || !frames[1].Keyframe || frames[1].CTR != 0 {
		t.Errorf("%+v; want the stream from its beginning after the still", frames[1:])
	}
}

// A first picture that arrives after the stream has begun is not shown: it would be a step back in time.
func TestFirstPictureTooLate(t *testing.T) {
	var shown []handshake.Frame
	v := &Viewer{cfg: ViewerConfig{OnFrame: func(f handshake.Frame) { shown = append(shown, f) }}}
	v.show(handshake.Frame{Still: true})
	v.show(handshake.Frame{CTR: 1})
	v.show(handshake.Frame{Still: true})
	if len(shown) != 2 || !shown[0].Still || shown[1].Still {
		t.Errorf("shown %+v", shown)
	}
}
