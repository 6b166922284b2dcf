package camera

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// watchers offers n sessions at once, each of another watching. It returns the first refusal once all have ended.
func (a *asked) watchers(n int, carrier media.Carrier) *session.Refusal {
	a.t.Helper()
	ctx, cancel := context.WithCancel(a.t.Context())
	defer cancel()
	box := a.theirs.Mailbox(envelope.ToCamera, a.theirs.Day(time.Now()))
	ended := make(chan error, n)
	for range n {
		v, err := session.NewViewer(session.ViewerConfig{
			Pair:      a.theirs,
			Signal:    a.client,
			Inbox:     signaling.Mailbox{Read: box.Read, Write: box.Write},
			Box:       box,
			Carriers:  []media.Carrier{carrier},
			RelayOnly: true, // there is no relay, so they find no path, and stay
			Watch:     session.NewWatchID(),
			Logger:    slog.New(slog.DiscardHandler),
			OnFrame:   func(session.Frame) {},
		})
		if err != nil {
			a.t.Fatal(err)
		}
		go func() { ended <- v.Run(ctx) }()
	}

	var first *session.Refusal
	for range n {
		var refusal *session.Refusal
		if err := await(a.t, ended, "end of a session"); errors.As(err, &refusal) && first == nil {
			first = refusal
			cancel()
		}
	}

	if first == nil {
		a.t.Fatal("no session is refused")
	}
	return first
}

// A viewer that watches from too many places hears what to do. The log has the beginning and the end of each session.
func TestTooManyWatchersAreToldToCloseOne(t *testing.T) {
	a := newAsked(t)
	a.start(time.Now())
	a.answered(time.Now(), nil)
	if got, want := a.watchers(9, media.H264Carrier).Text,
		"This camera is being watched from too many places. Close one and try again."; got != want {
		t.Errorf("says %q\nwant %q", got, want)
	}

	a.stop()
	if a.logged(`msg="session begins"`) == 0 || a.logged(`msg="session ends"`) == 0 {
		t.Errorf("logged %s", a.said)
	}
}

func TestSessionThatCannotStartIsTold(t *testing.T) {
	a := newAsked(t)
	a.start(time.Now())
	a.answered(time.Now(), nil)
	got := a.watchers(1, media.Carrier(99)).Text
	if want := "The camera could not start a session: the viewer can play none of this camera's formats."; got != want {
		t.Errorf("says %q\nwant %q", got, want)
	}

	a.stop()
	if a.logged(`msg="session refused"`) == 0 {
		t.Errorf("logged %s", a.said)
	}
}

// A viewer learns that its offer opened but cannot be answered.
func TestOfferThatCannotBeUnderstoodIsTold(t *testing.T) {
	a := newAsked(t)
	a.start(time.Now())
	a.answered(time.Now(), nil)

	h, err := handshake.NewOfferer(a.theirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	box := a.theirs.Mailbox(envelope.ToCamera, a.theirs.Day(time.Now()))
	wire, err := h.SealOffer(box, handshake.Offer{
		SDP:       "v=0",
		Challenge: make([]byte, 8),
		Carriers:  []string{media.H264Carrier.String()},
	})
	if err != nil {
		t.Fatal(err)
	}

	replies := make(chan error, 8)
	in, inbox := h.InMailbox(), handshake.NewInbox(nil)
	defer a.client.Receive(signaling.Mailbox{Read: in.Read, Write: in.Write}, func(d signaling.Delivery) bool {
		_, _, err := inbox.OpenReply(h, d)
		replies <- err
		return true
	})()
	to := signaling.Mailbox{Read: box.Read, Write: box.Write}
	if err := a.client.Send(t.Context(), to, wire, time.Minute); err != nil {
		t.Fatal(err)
	}

	var refusal *session.Refusal
	if err := await(t, replies, "refusal"); !errors.As(err, &refusal) ||
		refusal.Text != "The camera could not understand this viewer. Update both." {
		t.Errorf("the viewer hears %v", err)
	}
}

// Deleting a viewer's file cuts it off, as the log says. A viewer that is not on the roster cannot be removed.
func TestRemovedFileIsInTheLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := New(Config{
			Stream:   picture(),
			State:    t.TempDir(),
			Name:     "porch",
			RelayURL: "http://127.0.0.1:1",
			Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}

		self, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		defer c.work.Wait()
		defer cancel()
		pair := &envelope.Pair{Self: c.self, Role: identity.Camera, Peer: self.Bundle(), Secret: envelope.Secret{1}}
		if _, _, err := c.enroll(ctx, pairing.Record{Pair: pair, RelayURL: c.cfg.RelayURL}); err != nil {
			t.Fatal(err)
		}
		if err := c.store.Remove(self.Bundle().Fingerprint()); err != nil {
			t.Fatal(err)
		}

		c.work.Go(func() { c.followRoster(ctx) })
		time.Sleep(2 * rosterEvery) // the bubble's clock
		synctest.Wait()
		if !strings.Contains(log.String(), `msg="viewer removed: its file is gone"`) {
			t.Errorf("logged %s", &log)
		}

		if err := c.Remove(self.Bundle().Fingerprint()); err == nil ||
			!strings.HasSuffix(err.Error(), "is not on the roster") {
			t.Errorf("says %v", err)
		}
	})
}
