package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// asked is a camera at a relay, and a viewer that offers it sessions.
type asked struct {
	t      *testing.T
	state  string
	url    string
	ticket []byte
	self   *identity.Private
	theirs *envelope.Pair
	client *signaling.Client
	said   *bytes.Buffer // guarded by log
	log    *locked
	camera *Camera // the one started last
	lan    bool    // it has host keys
	stop   func()
}

func newAsked(t *testing.T) *asked {
	t.Helper()
	url, operator := startRelay(t)
	a := newAskedAt(t, url)
	a.ticket = signaling.Ticket{
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       1000,
		SessionsPerHour: 100,
	}.Issue(operator)

	return a
}

// newAskedAt is newAsked at a relay that is already running. The camera has no ticket.
func newAskedAt(t *testing.T, url string) *asked {
	t.Helper()
	a := &asked{t: t, state: t.TempDir(), url: url, said: new(bytes.Buffer)}
	a.log = &locked{w: a.said}
	camera, err := identity.LoadOrCreate(a.state)
	self, err2 := identity.Generate()
	client, err3 := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}

	a.self, a.client = self, client
	run(t, client.Run)

	ours := &envelope.Pair{
		Self:          camera,
		Role:          identity.Camera,
		Peer:          self.Bundle(),
		Secret:        envelope.Secret{1},
		MailboxSecret: envelope.Secret{2},
	}

	a.theirs = &envelope.Pair{
		Self:          self,
		Role:          identity.Viewer,
		Peer:          camera.Bundle(),
		Secret:        ours.Secret,
		MailboxSecret: ours.MailboxSecret,
	}

	if err := pairing.NewStore(a.state, camera, identity.Camera).Put(pairing.Record{Pair: ours,
		RelayURL: url}); err != nil {
		t.Fatal(err)
	}
	return a
}

// start starts the camera with a clock that shows now.
func (a *asked) start(now time.Time) {
	a.t.Helper()
	if a.stop != nil {
		a.stop()
	}
	clock, err := expiry.Open(a.state, expiry.Source{Wall: func() time.Time {
		return now
	}, Boot: func() expiry.Boot { return expiry.Boot{ID: "b"} }})
	if err != nil {
		a.t.Fatal(err)
	}

	c, err := New(Config{
		State:    a.state,
		Name:     "front door",
		RelayURL: a.url,
		Ticket:   a.ticket,
		Stream:   picture(),
		Clock:    clock,
		LAN:      a.lan,
		listen:   unannounced,
		Logger:   slog.New(slog.NewTextHandler(a.log, nil)),
	})
	if err != nil {
		a.t.Fatal(err)
	}

	a.camera = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	a.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			a.t.Errorf("the camera's end: %v", err)
		}
		a.stop = nil
	}

	a.t.Cleanup(func() {
		if a.stop != nil {
			a.stop()
		}
	})
}

// unannounced listens where nobody on this machine's networks hears of it.
func unannounced(cfg p2p.Config) (*p2p.Listener, error) { return p2p.Listen(p2p.Config{Key: cfg.Key}) }

// watch offers a session dated now. It reports whether the camera answered, and how the session ended.
func (a *asked) watch(now time.Time, nonce []byte) (answered bool, err error) {
	return a.watchWith(session.ViewerConfig{
		Nonce: nonce,
		Now:   func() time.Time { return now },
	})
}

// watchWith is watch with a configuration of the caller's, which it completes.
func (a *asked) watchWith(cfg session.ViewerConfig) (answered bool, err error) {
	box := a.theirs.Mailbox(envelope.ToCamera, a.theirs.Day(time.Now()))
	for {
		ctx, cancel := context.WithCancel(a.t.Context())
		cfg.Pair, cfg.Signal, cfg.Box = a.theirs, a.client, box
		cfg.Inbox = signaling.Mailbox{Read: box.Read, Write: box.Write}
		// there is no relay: no path will be found
		cfg.Carriers, cfg.RelayOnly = []media.Carrier{media.H264Carrier}, true
		cfg.Logger, cfg.OnFrame = slog.New(slog.DiscardHandler), func(session.Frame) {}
		cfg.OnPhase = func(phase string) {
			if phase == "answered" {
				answered = true
				cancel()
			}
		}

		v, err := session.NewViewer(cfg)
		if err != nil {
			a.t.Fatal(err)
		}

		err = v.Run(ctx)
		cancel()
		var relay *signaling.Error

		// the camera has not opened its mailbox yet
		if !errors.As(err, &relay) || relay.Code != signaling.CodeNotAdmitted {
			return answered, err
		}
	}
}

// refused offers a session, and returns the camera's refusal, which must be about the clocks.
func (a *asked) refused(now time.Time, nonce []byte) *session.Refusal {
	a.t.Helper()
	answered, err := a.watch(now, nonce)
	var refusal *session.Refusal
	if answered || !errors.As(err, &refusal) || refusal.Code != session.ClockRefusal ||
		len(refusal.Nonce) != session.NonceSize {
		a.t.Fatalf("answered %t, %v; want a refusal for the clock", answered, err)
	}
	return refusal
}

func (a *asked) answered(now time.Time, nonce []byte) {
	a.t.Helper()
	if answered, err := a.watch(now, nonce); !answered {
		a.t.Fatalf("not answered: %v", err)
	}
}

// logged returns how often the camera's log says something.
func (a *asked) logged(text string) int {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	return strings.Count(a.said.String(), text)
}

// says waits until the camera's log says something.
func (a *asked) says(text string) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("the camera says %q", text), func() bool { return a.logged(text) > 0 })
}

// TestOldOfferStartsNothingAtAnUnsetClock: an offer that was recorded three months ago is not served, whatever the
// camera's clock shows after a restart. A fresh offer is, although the camera cannot know the time.
func TestOldOfferStartsNothingAtAnUnsetClock(t *testing.T) {
	now := time.Now()
	old := now.AddDate(0, 0, -90)
	for name, shows := range map[string]time.Time{
		"in 1970":                      time.Unix(0, 0),
		"before any camera was made":   time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		"set back to the offer's date": old,
		"right":                        now,
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsked(t)
			a.start(now)
			a.answered(now, nil) // the clocks agree: the floor rises

			a.start(shows)
			a.refused(old, nil)
			if n := a.logged("session begins"); n != 1 {
				t.Errorf("%d sessions have begun, want only the first", n)
			}

			if a.logged(ClockText) != 1 {
				t.Error("the person at the camera hears nothing")
			}

			nonce := []byte(nil)
			if shows != now {
				nonce = a.refused(now, nil).Nonce
			}
			a.answered(now, nonce)
		})
	}
}

// TestWrongClockMakesNoCameraUseless: whatever a camera's clock shows, and whatever its floor is, it accepts the
// viewer's second offer, and both people hear of the clock.
func TestWrongClockMakesNoCameraUseless(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		confirmed, shows time.Time
		says             string
	}{
		"in 1970, and never set": {time.Time{}, time.Unix(0, 0),
			"This camera's clock is wrong: it shows 1 January 1970, 00:00 UTC. Set it."},
		"years ahead": {time.Time{}, now.AddDate(70, 0, 0),
			"Set the clock that is wrong: the camera's, or yours."},
		"an hour ahead": {time.Time{}, now.Add(time.Hour),
			"Set the clock that is wrong: the camera's, or yours."},
		"an hour behind": {time.Time{}, now.Add(-time.Hour),
			"Set the clock that is wrong: the camera's, or yours."},
		"right, with a floor in 2099": {time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), now,
			"This camera's clock is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsked(t)
			if !tt.confirmed.IsZero() { // confirmed by a viewer whose clock was just as wrong
				clock, err := expiry.Open(a.state, expiry.Source{Wall: func() time.Time { return tt.confirmed }})
				if err == nil {
					err = clock.Confirm(tt.confirmed)
				}
				if err != nil {
					t.Fatal(err)
				}
			}

			a.start(tt.shows)
			refusal := a.refused(now, nil)
			if !strings.Contains(refusal.Text, tt.says) {
				t.Errorf("the refusal says %q, want %q", refusal.Text, tt.says)
			}

			a.answered(now, refusal.Nonce)
			if a.logged(ClockText) != 1 {
				t.Error("the person at the camera hears nothing")
			}
			a.refused(now, refusal.Nonce) // a nonce is valid for one offer
			if tt.confirmed.IsZero() {
				if _, err := os.Stat(filepath.Join(a.state, "clock")); err == nil {
					t.Error("the wrong time is kept on disk")
				}
			}
		})
	}
}

// An offer raises the floor if the camera's clock agrees with its date. Otherwise it may be served, but leaves the
// floor as it is.
func TestOffersConfirmTheClock(t *testing.T) {
	now := time.Now()
	a := newAsked(t)
	a.start(now)
	file := filepath.Join(a.state, "clock")
	a.answered(now.Add(4*time.Minute), a.refused(now.Add(4*time.Minute), nil).Nonce)
	if text, err := os.ReadFile(file); err == nil {
		t.Errorf("an offer with another date raised the floor: %s", text)
	}

	a.answered(now.Add(-time.Minute), nil)
	a.stop()
	if text, err := os.ReadFile(file); err != nil ||
		!strings.Contains(string(text), now.UTC().Format("2006-01-02T15:04:05")) {
		t.Errorf("kept on disk: %q (%v)", text, err)
	}
}

// If the clock's file cannot be written, that is logged once, and nobody has to wait.
func TestUnwritableClockFileIsLoggedOnce(t *testing.T) {
	a := newAsked(t)
	if err := os.Mkdir(filepath.Join(a.state, "clock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.state, "clock", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := expiry.Open(a.state, expiry.Source{}); err == nil {
		t.Fatal("a folder passes for a clock file")
	}

	c, err := New(Config{
		Stream:   picture(),
		State:    a.state,
		Name:     "front door",
		RelayURL: a.url,
		Logger:   slog.New(slog.NewTextHandler(a.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}

	for range 3 {
		c.reportClock(c.clock.Confirm(time.Now()))
	}

	if n := a.logged("the time cannot be kept on disk"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// A clock that is certainly wrong does not choose mailboxes: no viewer uses those of the floor's day.
func TestWrongClockChoosesNoMailbox(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shows time.Time
		want  int
	}{
		{"unset", time.Unix(0, 0), 1},
		{"set", time.Now(), 2},
	} {
		clock, err := expiry.Open(t.TempDir(), expiry.Source{Wall: func() time.Time { return tt.shows }})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1", Clock: clock})
		if got := c.clocks(); len(got) != tt.want {
			t.Errorf("%s: the times that choose mailboxes are %v, want %d", tt.name, got, tt.want)
		}
	}
}

func TestMailboxesAreYesterdaysTodaysAndTomorrows(t *testing.T) {
	for _, shows := range []time.Time{time.Now(), time.Unix(0, 0)} {
		clock, err := expiry.Open(t.TempDir(), expiry.Source{Wall: func() time.Time { return shows }})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1", Clock: clock})
		pair := &envelope.Pair{
			Self:          c.self,
			Role:          identity.Camera,
			Peer:          c.self.Bundle(),
			MailboxSecret: envelope.Secret{1},
		}

		today := pair.Day(clock.Now())
		days := (&viewer{camera: c, record: pairing.Record{Pair: pair}}).days()
		for _, day := range []uint32{today - 1, today, today + 1} {
			if _, ok := days[day]; !ok || len(days) != 3 {
				t.Errorf("a clock at %s: on day %d mailboxes of the days %v are open", shows, today, days)
			}
		}
	}
}
