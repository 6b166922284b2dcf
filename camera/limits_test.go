package camera

import (
	"context"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// A code is valid for ten minutes, but only for thirty seconds once a scanner has begun: one that does not come back
// must not keep the next person from pairing.
func TestCodeWaitsThirtySecondsForAScannerThatBegan(t *testing.T) {
	for name, row := range map[string]struct {
		begins bool
		want   time.Duration
	}{
		"nobody scans":                   {false, 10 * time.Minute},
		"a scanner begins and goes away": {true, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			camera, err := identity.Generate()
			if err != nil {
				t.Fatal(err)
			}
			viewer, err := identity.Generate()
			if err != nil {
				t.Fatal(err)
			}

			bubble.Test(t, func(t *testing.T) {
				displayer, err := pairing.NewDisplayer(camera, identity.Camera, "https://relay.example", codeLife)
				if err != nil {
					t.Fatal(err)
				}
				inbox := make(chan signaling.Delivery, 1)
				if row.begins {
					m1, err := pairing.NewScanner(viewer, displayer.Code()).Handle(displayer.Hello())
					if err != nil {
						t.Fatal(err)
					}
					inbox <- signaling.Delivery{Body: m1}
				}

				began, replies := time.Now(), 0
				pair, err := (&Camera{}).converse(t.Context(), displayer, inbox, func([]byte) error {
					replies++
					return nil
				})
				if pair != nil || err != nil {
					t.Fatalf("a pair was made: %t; %v", pair != nil, err)
				}

				if got := time.Since(began); got != row.want || replies > 0 != row.begins {
					t.Errorf("void after %v and %d replies, want %v", got, replies, row.want)
				}
			})
		})
	}
}

// A viewer can have eight sessions. The ninth waits for a second, in case one of them is just ending, and is then
// refused.
func TestViewerHasEightSessions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c, err := New(Config{Stream: picture(), State: t.TempDir(), Name: "front door", RelayURL: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		self, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		v := &viewer{camera: c, record: pairing.Record{Pair: &envelope.Pair{
			Self: c.self,
			Role: identity.Camera,
			Peer: self.Bundle(),
		}}}

		v.start(ctx)
		defer c.work.Wait()
		defer cancel()

		var release func()
		for n := 1; n <= 8; n++ {
			var ok bool
			if release, ok = acquireRoom(ctx, v.sessions); !ok {
				t.Fatalf("no room for session %d", n)
			}
		}

		began := time.Now()
		if _, ok := acquireRoom(ctx, v.sessions); ok || time.Since(began) != time.Second {
			t.Errorf("a ninth session: %t, after %v; want none, after a second", ok, time.Since(began))
		}

		time.AfterFunc(time.Second/2, release)
		if _, ok := acquireRoom(ctx, v.sessions); !ok {
			t.Error("no room, although a session has ended meanwhile")
		}
	})
}
