package evilcloud

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// device is one client that reads a mailbox of its own.
type device struct {
	*signaling.Client
	box signaling.Mailbox

	mu  sync.Mutex
	got []string // guarded by mu; bodies
}

func newMailbox(t *testing.T) (box signaling.Mailbox) {
	t.Helper()
	for _, key := range []*ed25519.PrivateKey{&box.Read, &box.Write} {
		_, made, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		*key = made
	}

	return box
}

func newDevice(t *testing.T, url string) *device {
	t.Helper()
	d := &device{box: newMailbox(t)}
	var err error
	if d.Client, err = signaling.NewClient(signaling.ClientConfig{URL: url}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	d.Receive(d.box, func(m signaling.Delivery) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.got = append(d.got, string(m.Body)); string(m.Body) == "reject this" {
			m.Reject()
		}
		return true
	})

	return d
}

// has reports whether a body has come.
func (d *device) has(body string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.got, body)
}

func (d *device) count(body string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.got {
		if b == body {
			n++
		}
	}

	return n
}

// patience ends what hangs.
const patience = 2 * time.Minute

// post posts to a mailbox, and soon gives up: many faults leave no answer.
func (d *device) post(t *testing.T, to signaling.Mailbox, body string) error {
	t.Helper()
	return d.postWithin(t, to, body, 500*time.Millisecond)
}

// postWithin posts to a mailbox, and waits for the relay's answer until the limit.
func (d *device) postWithin(t *testing.T, to signaling.Mailbox, body string, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return d.Send(ctx, to, []byte(body), time.Minute)
}

// eventually waits until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// startWithTwoDevices starts a cloud with a proxy in the middle, and two devices that have each posted to themselves
// and been granted ICE servers.
func startWithTwoDevices(t *testing.T) (c *Cloud, a, b *device) {
	t.Helper()
	c = start(t, Config{
		Signaling: []string{"127.0.0.1:0", "127.0.0.1:0"},
		TURN:      []string{"127.0.0.1:0", "127.0.0.1:0"},
		Middle:    true,
		Remember:  64,
	})

	a, b = newDevice(t, c.URLs()[0]), newDevice(t, c.URLs()[1])
	for name, d := range map[string]*device{"of a": a, "of b": b} {
		eventually(t, "an honest delivery", func() bool { return d.post(t, d.box, name) == nil && d.has(name) })
		if _, err := d.Grant(t.Context(), d.box, ""); err != nil {
			t.Fatal(err)
		}
	}

	return c, a, b
}

// Each fault of frames takes bytes to the wrong place, and everything is right again after it.
func TestFaultsOfFramesEnd(t *testing.T) {
	grant := func(t *testing.T, d *device) string {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		g, err := d.Grant(ctx, d.box, "")
		if err != nil {
			return err.Error()
		}
		return g.Viewer.Username
	}

	day := &AnotherDay{}
	for _, tt := range []struct {
		name   string
		frames Frames
		wrong  func(t *testing.T, c *Cloud, a, b *device) bool
	}{
		{"sessions swapped", SwapSessions, func(t *testing.T, c *Cloud, a, b *device) bool {
			var refusal *signaling.Error
			return errors.As(a.post(t, a.box, "x"), &refusal) && refusal.Code == signaling.CodeSignature && !a.has("x")
		}},
		{"requests swapped", SwapRequests, func(t *testing.T, c *Cloud, a, b *device) bool {
			return errors.Is(a.post(t, a.box, "x"), context.DeadlineExceeded) && !a.has("x")
		}},
		{"reflected", Reflected, func(t *testing.T, c *Cloud, a, b *device) bool {
			_ = a.post(t, b.box, "for b")
			return a.has("for b") && b.has("for b")
		}},
		{"grants cached", CachedGrants, func(t *testing.T, c *Cloud, a, b *device) bool {
			first, again := grant(t, a), grant(t, a)
			return first == again
		}},
		{"answers cached", CachedAnswers, func(t *testing.T, c *Cloud, a, b *device) bool {
			return a.post(t, a.box, "x") == nil && !a.has("x")
		}},
		{"deliveries cached", CachedDeliveries, func(t *testing.T, c *Cloud, a, b *device) bool {
			_ = b.post(t, b.box, "news of b")
			return b.has("of a")
		}},
		{"another day", day.Frames, func(t *testing.T, c *Cloud, a, b *device) bool {
			_ = a.post(t, a.box, "yesterday's")
			day.Ripen()
			c.HangUp()
			_ = a.post(t, a.box, "today's")
			now, then := time.Now(), time.Time{}
			eventually(t, "a clock that is a day ahead", func() bool {
				for _, d := range []*device{a, b} {
					if clock, ok := d.ServerTime(); ok && clock.Sub(now) > 23*time.Hour {
						then = clock
					}
				}
				return !then.IsZero()
			})

			return a.count("yesterday's") > 1
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, a, b := startWithTwoDevices(t)
			c.SetFrames(tt.frames)
			eventually(t, "the fault acts", func() bool { return tt.wrong(t, c, a, b) && c.Counts().Frames > 0 })
			c.Heal()
			c.HangUp()
			eventually(t, "all is well again", func() bool { return a.post(t, a.box, "well") == nil && a.has("well") })
			n := c.Counts().Frames
			if err := b.postWithin(t, b.box, "well", patience); err != nil || c.Counts().Frames != n {
				t.Errorf("after the fault: %v, %d frames changed", err, c.Counts().Frames-n)
			}
		})
	}
}

// Every field that exists can be rewritten, and nothing else is.
func TestEveryFieldCanBeRewritten(t *testing.T) {
	name := signaling.Name{1}
	grant, err := json.Marshal(signaling.Grant{URLs: []string{"turn:x"}})
	if err != nil {
		t.Fatal(err)
	}
	frames := []signaling.Frame{
		signaling.Open{
			ID:        1,
			Access:    signaling.Read,
			ReadKey:   make([]byte, 32),
			WriteKey:  make([]byte, 32),
			Signature: make([]byte, 64),
		},
		signaling.Post{
			ID:   1,
			Name: name,
			TTL:  5,
			Body: []byte("body"),
		}, signaling.Ack{Name: name, Seq: 4}, signaling.GrantRequest{ID: 1, Name: name},
		signaling.Close{Name: name}, signaling.Reject{Name: name, Seq: 4}, signaling.Challenge{}, signaling.OK{ID: 1},
		signaling.Refused{
			ID:   1,
			Code: 400,
			Text: "no",
		}, signaling.Deliver{Name: name, Seq: 4, Body: []byte("body")}, signaling.Granted{ID: 1, JSON: grant},
		signaling.Revoke{ID: 1, Name: name}, signaling.Closed{Name: name, Code: signaling.CodeReplaced},
	}

	seen := make(map[string]bool)
	for _, r := range Fields() {
		kind, _, _ := strings.Cut(r.Name, ".")
		changed := 0
		for _, f := range frames {
			before := signaling.Append(nil, f)
			said := r.Frames(&Line{middle: newMiddle()}, f, true)
			if !bytes.Equal(before, signaling.Append(nil, f)) {
				t.Errorf("%s: changed the frame that it was given", r.Name)
			}

			if after := signaling.Append(nil, said[0].Frame); !bytes.Equal(before, after) {
				changed++
				if _, err := signaling.Parse(after); err != nil {
					t.Errorf("%s: the result is no frame: %v", r.Name, err)
				}
			}
		}

		if changed != 1 || seen[r.Name] {
			t.Errorf("%s: changed %d frames, want one", r.Name, changed)
		}
		seen[r.Name], seen[kind] = true, true
	}

	for _, kind := range []string{"open", "post", "ack", "grant", "close", "reject", "challenge", "ok", "refused",
		"deliver", "granted", "revoke", "closed"} {
		if !seen[kind] {
			t.Errorf("no field of %s is rewritten", kind)
		}
	}
}

// A rewritten field reaches the client.
func TestRewriteActs(t *testing.T) {
	c, a, _ := startWithTwoDevices(t)
	for _, r := range Fields() {
		if r.Name == "refused.code 429" {
			c.SetFrames(r.Frames)
		}
	}

	var refusal *signaling.Error
	eventually(t, "a refusal that the relay never said", func() bool {
		return errors.As(a.post(t, a.box, "x"), &refusal) && refusal.Code == signaling.CodeQuota &&
			c.Counts().Frames > 0
	})
	if strings.ContainsAny(refusal.Text, "\x1b\x07") {
		t.Errorf("refusal %q plays with the terminal", refusal.Text)
	}
}

// What a fault did not deliver does not reach its mailbox from the store either, until the fault is over.
func TestWithheldMessageWaitsForTheFaultsEnd(t *testing.T) {
	c, a, b := startWithTwoDevices(t)
	c.SetDelivery(CrossAll)
	if err := a.postWithin(t, a.box, "posted under the fault", patience); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is somewhere else", func() bool { return b.has("posted under the fault") })
	c.HangUp() // the store has it, for a client that comes back
	c.SetFrames(Reflected)
	eventually(t, "it is back, and hears itself", func() bool { _ = a.post(t, a.box, "after"); return a.has("after") })
	if a.has("posted under the fault") {
		t.Error("delivered as it was posted")
	}

	c.Heal()
	c.HangUp()
	eventually(t, "what the store has", func() bool { return a.has("posted under the fault") })
}
