package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// standIn serves a camera's only viewer in the camera's place, with the camera's keys, and keeps what it learns from
// the viewer.
type standIn struct {
	stop func() // ends its sessions and waits

	mu       sync.Mutex
	stopped  bool              // guarded by mu
	offers   []offered         // guarded by mu
	explains []session.Explain // the camera's view; guarded by mu
}

// offered is the content of an offer.
type offered struct {
	SDP       string `json:"sdp"`
	RelayOnly bool   `json:"relay_only"`
	Watch     string `json:"watch"`
	TURN      any    `json:"turn"`
	whole     string
}

// standInFor ends a camera that has one viewer, and takes its place until the test ends.
func standInFor(t *testing.T, h *household, relayURL string) *standIn {
	t.Helper()
	h.stop()
	self, err := identity.LoadOrCreate(h.state)
	if err != nil {
		t.Fatal(err)
	}

	records, err := pairing.NewStore(h.state, self, identity.Camera).Load()
	if err != nil || len(records) != 1 {
		t.Fatalf("%d viewers, %v", len(records), err)
	}
	client, err := signaling.NewClient(signaling.ClientConfig{URL: relayURL, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}

	s, pair := &standIn{}, records[0].Pair
	run(t, client.Run)
	var sessions sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = func() {
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		cancel()
		sessions.Wait()
	}

	t.Cleanup(s.stop)
	for _, day := range []uint32{pair.Day(time.Now()), pair.Day(time.Now()) + 1} {
		box := pair.Mailbox(envelope.ToCamera, day)
		t.Cleanup(client.Receive(signaling.Mailbox{Read: box.Read, Write: box.Write}, func(d signaling.Delivery) bool {
			opened, err := pair.Open(box, d.Body, time.Now())
			if err != nil || opened.Type != envelope.TypeOffer {
				t.Errorf("what came is no offer: %v", err)
				return true
			}
			s.offer(t, opened.Body)

			camera, err := session.NewCamera(session.CameraConfig{
				Pair:      pair,
				Signal:    client,
				Offer:     opened,
				OfferWire: d.Body,
				Name:      "stand-in",
				Stream:    h.Feed,
				Loopback:  true,
				Logger:    logger(t),
				OnPath:    s.path,
			})
			if err != nil {
				t.Error(err)
				return true
			}

			s.mu.Lock()
			defer s.mu.Unlock()

			if s.stopped {
				return true
			}
			sessions.Go(func() { _ = camera.Run(ctx) }) // the page says how it ends
			return true
		}))
	}

	return s
}

func (s *standIn) offer(t *testing.T, body []byte) {
	o := offered{whole: string(body)}
	if err := json.Unmarshal(body, &o); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers = append(s.offers, o)
}

func (s *standIn) path(p session.Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.explains = append(s.explains, p.Explain)
}

// seen ends the sessions and returns what was learned: the offers, and the last record that knows the page's network.
// On a busy machine a session may just have begun that has heard nothing of it yet.
func (s *standIn) seen() (offers []offered, last session.Explain) {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.explains) {
		if last = e; e.Other.Complete {
			break
		}
	}
	return append(offers, s.offers...), last
}
