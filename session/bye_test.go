package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// TestByeBeforeConnected: an end that leaves while there is no data channel yet says so through signaling, and the other does not wait until ICE gives up.
func TestByeBeforeConnected(t *testing.T) {
	for _, leaves := range []string{"viewer", "camera"} {
		t.Run(leaves, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const roundTrip = 150 * ms
				ctx, cancel := context.WithCancel(t.Context())
				var work sync.WaitGroup
				defer work.Wait()
				defer cancel()
				atCamera, atViewer, _ := lineOf(ctx, roundTrip, &work)
				relay := newMail(ctx, t, roundTrip/2, &work)
				defer relay.close()
				ours, theirs := pairOf(t)
				box := ours.Mailbox(envelope.ToCamera, 1)
				ended := make(chan error, 1) // how the end that stays has ended
				going, leave := context.WithCancel(ctx)
				relay.Receive(mailbox(box), func(d signaling.Delivery) bool {
					opened, err := ours.Open(box, d.Body, time.Now())
					if err != nil {
						t.Errorf("open offer: %v", err)
						return true
					}
					work.Go(func() {
						c, err := NewCamera(CameraConfig{Pair: ours, Signal: relay, Offer: opened, OfferWire: d.Body, Stream: stream{Broadcast: media.NewBroadcast()}, Logger: quiet(), network: atCamera})
						if err == nil && leaves == "camera" {
							err = c.Run(going)
						} else if err == nil {
							ended <- c.Run(ctx)
						}
						if err != nil {
							t.Errorf("camera's end: %v", err)
						}
					})
					return true
				})
				var left time.Time
				v, err := NewViewer(ViewerConfig{Pair: theirs, Signal: relay, Inbox: mailbox(box), Box: box, Carriers: []media.Carrier{media.H264Carrier}, Logger: quiet(), network: atViewer,
					OnFrame: func(Frame) {},
					OnPhase: func(phase string) {
						if phase == "answered" {
							left = time.Now()
							leave()
						}
					}})
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
