package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/bubble"
)

// meeting returns what a viewer needs to meet a camera without a picture, which run runs, over a line with a round
// trip. The test ends when work is done.
func meeting(t *testing.T, roundTrip time.Duration, work *sync.WaitGroup, run func(*Camera) error) ViewerConfig {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(work.Wait)
	t.Cleanup(cancel)
	atCamera, atViewer, _ := lineOf(ctx, roundTrip, work)
	relay := newMail(ctx, t, roundTrip/2, work)
	t.Cleanup(relay.close)

	camera := CameraConfig{Stream: broadcast{Broadcast: media.NewBroadcast()}, network: atCamera}
	cfg := answering(t, relay, camera, work, run)
	cfg.Carriers, cfg.network = []media.Carrier{media.H264Carrier}, atViewer
	cfg.OnFrame = func(handshake.Frame) {}
	return cfg
}

// TestByeBeforeConnected: an end that leaves before the data channel opens says so through signaling, so that the other
// end need not wait until ICE gives up.
func TestByeBeforeConnected(t *testing.T) {
	for _, leaves := range []string{"viewer", "camera"} {
		t.Run(leaves, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const roundTrip = 150 * ms
				ctx := t.Context()
				ended := make(chan error, 1) // how the end that stays ended
				going, leave := context.WithCancel(ctx)
				var work sync.WaitGroup
				cfg := meeting(t, roundTrip, &work, func(c *Camera) error {
					if leaves == "camera" {
						return c.Run(going)
					}
					ended <- c.Run(ctx)
					return nil
				})

				var left time.Time
				cfg.OnPhase = func(phase string) {
					if phase == "answered" {
						left = time.Now()
						leave()
					}
				}

				v, err := NewViewer(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if leaves == "camera" {
					work.Go(func() { ended <- v.Run(ctx) })
				} else if err := v.Run(going); err != nil {
					t.Errorf("viewer's end: %v", err)
				}

				err = <-ended
				if leaves == "camera" && !errors.Is(err, ErrEnded) || leaves == "viewer" && err != nil {
					t.Errorf("the other end: %v", err)
				}
				if took := time.Since(left); took > 2*roundTrip {
					t.Errorf("the other end went on for %v", took)
				}
			})
		})
	}
}

// TestToldToStop: Run returns nil if its context ends, even if the session fails at the same moment.
func TestToldToStop(t *testing.T) {
	for _, told := range []string{"viewer", "camera"} {
		t.Run(told, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx := t.Context()
				going, stop := context.WithCancel(ctx)
				stopped := func() error { stop(); return ErrLost }
				ended := make(chan error, 1) // how the end that was told ended
				var work sync.WaitGroup
				cfg := meeting(t, 150*ms, &work, func(c *Camera) error {
					if told == "viewer" {
						return c.Run(ctx)
					}
					c.events <- stopped
					ended <- c.Run(going)
					return nil
				})

				v, err := NewViewer(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if told == "viewer" {
					v.events <- stopped
					ended <- v.Run(going)
				} else {
					work.Go(func() { _ = v.Run(ctx) }) // the camera's goodbye ends it
				}

				if err := <-ended; err != nil {
					t.Errorf("%s's end: %v", told, err)
				}
			})
		})
	}
}
