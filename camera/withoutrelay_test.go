package camera

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/p2p"
)

// What server.Serve looks for in a connection.
var _ interface {
	Origin() string
	Proven()
} = (*p2p.Conn)(nil)

// newWithout returns what serves viewers without the relay, and what it logs. listen takes the place of p2p.Listen.
func newWithout(t *testing.T, listen func(p2p.Config) (*p2p.Listener, error)) (*withoutRelay, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c, err := New(Config{
		Stream:   picture(),
		State:    t.TempDir(),
		RelayURL: "http://127.0.0.1:1",
		LAN:      true,
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		listen:   listen,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.without, &log
}

// A camera that cannot be reached without the relay says why.
func TestCameraWithoutAPortIsTold(t *testing.T) {
	w, log := newWithout(t, func(p2p.Config) (*p2p.Listener, error) { return nil, errors.New("no port is free") })
	w.turnKeys(t.Context())
	want := "viewers on this network cannot reach the camera without the relay now; it is tried again"
	if said := log.String(); !strings.Contains(said, want) || !strings.Contains(said, "no port is free") {
		t.Errorf("the log says %q", said)
	}
}

// Each day the camera listens by another key, and no longer by the one before.
func TestEachDayHasItsListener(t *testing.T) {
	var keys []string
	w, _ := newWithout(t, func(cfg p2p.Config) (*p2p.Listener, error) {
		keys = append(keys, string(cfg.Key.Public().(ed25519.PublicKey)))
		return unannounced(cfg)
	})

	today := w.now()
	for days := range 3 {
		w.now = func() time.Time { return today.AddDate(0, 0, days) }
		w.turnKeys(t.Context())
		w.turnKeys(t.Context()) // nothing changes within the day
		if len(keys) != days+1 || len(w.open) != 1 || w.open[keys[days]] == nil {
			t.Fatalf("day %d: %d listeners so far, %d open", days, len(keys), len(w.open))
		}
	}

	if keys[0] == keys[1] || keys[1] == keys[2] {
		t.Error("two days have the same key")
	}
	w.closeExcept(nil)
	if len(w.open) != 0 {
		t.Errorf("%d listeners are left open", len(w.open))
	}
}

// Once a viewer is removed, the camera goes by names that it does not know, and by the old ones only for others.
func TestKeysTurnWhenAViewerIsRemoved(t *testing.T) {
	listened := make(chan ed25519.PrivateKey, 8)
	w, _ := newWithout(t, func(cfg p2p.Config) (*p2p.Listener, error) {
		listened <- cfg.Key
		return unannounced(cfg)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()

	before := <-listened
	removed, other := Fingerprint{1}, Fingerprint{2}
	for _, viewer := range []Fingerprint{removed, other} {
		if w.hosts.listFor(viewer, nil, nil, w.now()) == nil {
			t.Fatal("no list")
		}
	}
	w.hosts.forget(removed, w.now())
	after := <-listened
	if after.Equal(before) || !after.Equal(w.hosts.today(w.now())[0]) {
		t.Error("the camera listens by another key than that of the new seed")
	}

	cancel()
	<-done
}

// A camera that hides its address is not announced.
func TestHiddenCameraIsNotAnnounced(t *testing.T) {
	for _, hides := range []bool{false, true} {
		announced := false
		c, err := New(Config{
			Stream:    picture(),
			State:     t.TempDir(),
			RelayURL:  "http://127.0.0.1:1",
			LAN:       true,
			RelayOnly: hides,
			listen: func(cfg p2p.Config) (*p2p.Listener, error) {
				announced = cfg.LAN
				return unannounced(cfg)
			},
		})
		if err != nil {
			t.Fatal(err)
		}

		c.without.turnKeys(t.Context())
		if announced == hides {
			t.Errorf("hides its address: %v, announced: %v", hides, announced)
		}
		c.without.closeExcept(nil)
	}
}

// The addresses by which circuit relays see the camera are those of relays that are there, each once.
func TestCameraKnowsHowItIsSeen(t *testing.T) {
	w := &withoutRelay{seen: make(map[string]netip.Addr)}
	one, two := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("203.0.113.6")
	for _, step := range []struct {
		relay string
		as    netip.Addr
		want  []netip.Addr
	}{
		{"a", two, []netip.Addr{two}},
		{"b", one, []netip.Addr{one, two}},
		{"c", one, []netip.Addr{one, two}},
		{"b", netip.Addr{}, []netip.Addr{one, two}},
		{"c", netip.Addr{}, []netip.Addr{two}},
		{"a", netip.Addr{}, nil},
	} {
		w.noteSeen(step.relay, step.as)
		if got := w.seenAs(); !slices.Equal(got, step.want) {
			t.Errorf("after %s said %v: %v, want %v", step.relay, step.as, got, step.want)
		}
	}
}
