package camera

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// The log warns at once, and then once a minute at most. Everything is counted and reaches the hook.
func TestAlarmIsLoggedOnceAMinute(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		heard := 0
		a := &alarm{log: slog.New(slog.NewTextHandler(&said, nil)), hook: func(session.Rejection) { heard++ }}
		lines := func() int { return strings.Count(said.String(), RejectedText) }
		for _, tt := range []struct {
			after time.Duration
			n     int
			lines int
		}{{0, 1, 1}, {time.Second, 1000, 1}, {warnEvery - 2*time.Second, 5, 1}, {time.Second, 1, 2},
			{time.Hour, 3, 3}} {
			time.Sleep(tt.after) // the bubble's clock
			for range tt.n {
				a.raise(session.Rejection{What: "envelope"})
			}
			if lines() != tt.lines {
				t.Errorf("after %s: %d lines, want %d", tt.after, lines(), tt.lines)
			}
		}

		if a.rejected() != 1010 || heard != 1010 {
			t.Errorf("%d counted, %d reached the hook; want 1010", a.rejected(), heard)
		}
		if !strings.Contains(said.String(), "level=WARN") ||
			!strings.Contains(said.String(), "what=envelope rejected=1007") {
			t.Errorf("logged %s", &said)
		}

		protocol, err := os.ReadFile("../doc/protocol.md")
		if err != nil || !strings.Contains(string(protocol), "| "+RejectedText+" |") {
			t.Errorf("doc/protocol.md does not say %q (%v)", RejectedText, err)
		}

		// The sentence says what happened, that nothing came of it, and what to do.
		for _, part := range []string{"the relay delivered something that is not from a viewer of this camera",
			"it was not used", "tell the relay's operator, or use another relay"} {
			if !strings.Contains(RejectedText, part) {
				t.Errorf("the sentence does not say %q", part)
			}
		}
	})
}

func TestAlarmAtOnce(t *testing.T) {
	a := &alarm{log: slog.New(slog.DiscardHandler), hook: func(Rejection) {}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				a.raise(session.Rejection{})
			}
		})
	}

	all.Wait()
	if a.rejected() != 800 {
		t.Errorf("%d counted", a.rejected())
	}
}

// watched is a camera with one viewer on its roster, running without a relay.
type watched struct {
	*Camera
	*viewer
	pair     *envelope.Pair // the viewer's end
	box      envelope.Mailbox
	said     *bytes.Buffer
	rejected []string // by the camera's hook
	told     int      // rejections reported to the relay
	end      func()
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{said: new(bytes.Buffer)}
	c, err := New(Config{
		State:    t.TempDir(),
		Name:     "front door",
		RelayURL: "http://127.0.0.1:1",
		Stream:   picture(),
		Logger:   slog.New(slog.NewTextHandler(&locked{w: w.said}, nil)),
		OnReject: func(r session.Rejection) { w.rejected = append(w.rejected, r.What) },
	})
	if err != nil {
		t.Fatal(err)
	}

	other, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	w.end = func() { cancel(); c.work.Wait() }
	t.Cleanup(w.end)
	ours := &envelope.Pair{
		Self:          c.self,
		Role:          identity.Camera,
		Peer:          other.Bundle(),
		Secret:        envelope.Secret{1},
		MailboxSecret: envelope.Secret{2},
	}

	w.pair = &envelope.Pair{
		Self:          other,
		Role:          identity.Viewer,
		Peer:          c.self.Bundle(),
		Secret:        ours.Secret,
		MailboxSecret: ours.MailboxSecret,
	}

	w.Camera = c
	if w.viewer, _, err = c.enroll(ctx, pairing.Record{Pair: ours, RelayURL: c.cfg.RelayURL}); err != nil {
		t.Fatal(err)
	}
	w.box = ours.Mailbox(envelope.ToCamera, 1)
	return w
}

// offerOf returns a viewer's offer in its envelope. The session that it starts does not last.
func offerOf(t *testing.T, by *envelope.Pair, sent time.Time) []byte {
	t.Helper()
	sealed, err := by.Seal(by.Mailbox(envelope.ToCamera, 1), envelope.Message{
		Type:   envelope.TypeOffer,
		Sent:   sent,
		Expiry: sent.Add(time.Minute),
		Body:   []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Wire
}

func (w *watched) receive(body []byte) {
	w.deliver(w.ctx(), w.box, signaling.NewDelivery(body, func() { w.told++ }))
}

// ctx returns a context that has already ended, so a session ends as soon as it has begun.
func (w *watched) ctx() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer // guarded by mu
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// The camera reports each message that is not from a viewer, to the person and to the relay. It reports nothing that a
// viewer sealed, however late or often that arrives.
func TestCameraIsLoud(t *testing.T) {
	w := newWatched(t)
	offer, stranger := offerOf(t, w.pair, time.Now()), newWatched(t)
	tampered := bytes.Clone(offer)
	tampered[len(tampered)-1] ^= 1
	newer := bytes.Clone(offer)
	newer[0] = 2

	for _, tt := range []struct {
		name  string
		body  []byte
		alarm bool
	}{
		{"an offer", offer, false},
		{"a copy", bytes.Clone(offer), false},
		{"a late offer", offerOf(t, w.pair, time.Now().Add(-time.Hour)), false},
		{"another household's offer", offerOf(t, stranger.pair, time.Now()), true},
		{"tampered with", tampered, true},
		{"of another version", newer, true},
		{"not an envelope", []byte("x"), true},
		{"a copy, after all that", bytes.Clone(offer), false},
	} {
		before := len(w.rejected)
		w.receive(tt.body)
		want := before
		if tt.alarm {
			want++
		}

		if len(w.rejected) != want || w.told != want || w.Rejected() != int64(want) {
			t.Errorf("%s: %d alarms, %d reported to the relay, %d counted; want %d", tt.name, len(w.rejected), w.told,
				w.Rejected(), want)
		}
	}

	w.end()
	if lines := strings.Count(w.said.String(), RejectedText); lines != 1 {
		t.Errorf("%d lines logged, want 1:\n%s", lines, w.said)
	}
}
