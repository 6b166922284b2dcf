package e2e

import (
	"context"
	"crypto/ed25519"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// witness is a person who watches one camera and remembers everything that was shown, by the marks in the pictures.
type witness struct {
	mark  string // of the person's own camera
	stop  func() // ends the watch and waits
	ended chan struct{}

	mu       sync.Mutex
	shown    int      // frames of the stream; guarded by mu
	stills   int      // pictures that came through signaling; guarded by mu
	next     uint64   // the lowest counter that this session has not shown yet; guarded by mu
	repeated int      // frames that were shown before, or out of order; guarded by mu
	foreign  []string // marks other than the own camera's, and "" for a frame without any; guarded by mu
	sessions int      // sessions that the camera has answered; guarded by mu
	broke    int      // how often the watch had to start again; guarded by mu
	rejected int      // rejections that the person has read of; guarded by mu
	err      error    // how the watch ended; guarded by mu
}

// report is what a witness has seen so far.
type report struct {
	shown, stills      int
	repeated, sessions int
	broke              int
	rejected           int
	foreign            []string
	err                error
}

// beginWatch watches a camera until stop is called or the watch ends by itself.
func beginWatch(t *testing.T, v watcher, name, mark string, relayOnly bool) *witness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &witness{mark: mark, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		err := v.Watch(ctx, name, viewer.Watch{
			RelayOnly: relayOnly,
			OnFrame:   w.see,
			OnPhase: func(phase string) {
				if phase == "answered" { // a session counts its frames from 0
					w.mu.Lock()
					w.next = 0
					w.sessions++
					w.mu.Unlock()
				}
			},
			OnRetry:  func(error) { w.mu.Lock(); w.broke++; w.mu.Unlock() },
			OnReject: func(session.Rejection) { w.mu.Lock(); w.rejected++; w.mu.Unlock() },
		})

		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}()

	w.stop = sync.OnceFunc(func() { cancel(); <-w.ended })
	t.Cleanup(w.stop)
	return w
}

func (w *witness) see(f session.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.Still {
		w.stills++
	} else {
		if w.shown++; f.CTR < w.next {
			w.repeated++
		}
		w.next = f.CTR + 1
	}

	marks := media.Marks(f.AccessUnit)
	if len(marks) == 0 {
		w.foreign = append(w.foreign, "")
	}
	for _, m := range marks {
		if m != w.mark {
			w.foreign = append(w.foreign, m)
		}
	}
}

func (w *witness) report() report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return report{w.shown, w.stills, w.repeated, w.sessions, w.broke, w.rejected, slices.Clone(w.foreign), w.err}
}

// running reports whether the watch is still running.
func (w *witness) running() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// sees waits until n more frames have been shown.
func (w *witness) sees(t *testing.T, n int) {
	t.Helper()
	want := w.report().shown + n
	eventually(t, "the person sees the picture, or the watch ends", func() bool {
		return w.report().shown >= want || !w.running()
	})
	if r := w.report(); r.shown < want {
		t.Fatalf("the watch ended before the picture came: %v; %+v", r.err, r)
	}
}

// sawNothing fails the test if anything at all was shown.
func (w *witness) sawNothing(t *testing.T, who string) {
	t.Helper()
	if r := w.report(); r.shown+r.stills != 0 {
		t.Errorf("%s was shown %+v; want nothing", who, r)
	}
}

// sawNoStream fails the test if anything was shown but the own camera's current picture, which comes through signaling.
func (w *witness) sawNoStream(t *testing.T, who string) {
	t.Helper()
	if r := w.report(); r.shown != 0 || len(r.foreign) != 0 {
		t.Errorf("%s was shown %+v; want no frame of a stream", who, r)
	}
}

// sawOwn fails the test if anything was shown but the person's own camera, each frame once. A slow machine may show it
// late, and says so.
func (w *witness) sawOwn(t *testing.T, who string) {
	t.Helper()
	if r := w.report(); r.shown == 0 || r.repeated != 0 || len(r.foreign) != 0 {
		t.Errorf("%s was shown %+v; want the own camera and nothing else", who, r)
	}
}

// mailboxesOf returns where a viewer's only camera receives offers, today and tomorrow: only the pair knows this, and
// the relay once they are open.
func mailboxesOf(t *testing.T, v watcher) (boxes [2]envelope.Mailbox) {
	t.Helper()
	p := record(t, v.state)
	for i := range boxes {
		boxes[i] = p.Mailbox(envelope.ToCamera, p.Day(time.Now())+uint32(i))
	}
	return boxes
}

// inboxesOf returns their names.
func inboxesOf(t *testing.T, v watcher) (names [][32]byte) {
	t.Helper()
	for _, b := range mailboxesOf(t, v) {
		names = append(names, b.Name)
	}
	return names
}

// awaitFault waits for a state under a fault, for less time than a session waits for its camera.
func awaitFault(t *testing.T, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	eventually(t, what, is)
	t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
}

// ed25519Key returns a fresh key that nobody has.
func ed25519Key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	return ed25519.NewKeyFromSeed(secret(t))
}
