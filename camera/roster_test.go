package camera

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
)

// A camera must have a name that every viewer can show unchanged, whichever program runs the camera.
func TestNameIsShownAsItIs(t *testing.T) {
	for name, ok := range map[string]bool{
		"front door":                             true,
		"Küche 2":                                true,
		strings.Repeat("ü", printable.MaxName):   true,
		strings.Repeat("x", printable.MaxName+1): false,
		"":                                       false,
		" x":                                     false,
		"two\nlines":                             false,
		"\x1b[2J":                                false,
		"left\u202eright":                        false,
		"\u3164":                                 false,
		"not UTF-8: \xff":                        false,
	} {
		err := CheckName(name)
		if name != "" { // New replaces it by a default
			_, err2 := New(Config{Stream: picture(), State: t.TempDir(), Name: name, RelayURL: "http://127.0.0.1:1"})
			if (err2 == nil) != ok || !ok && !errors.Is(err2, ErrConfig) {
				t.Errorf("New: a camera called %q: %v", name, err2)
			}
		}

		if (err == nil) != ok {
			t.Errorf("a camera called %q: %v", name, err)
		}
	}
}

// fill saves n pairs with viewers in a camera's folder.
func fill(t *testing.T, state string, n int) {
	t.Helper()
	self, err := identity.LoadOrCreate(state)
	if err != nil {
		t.Fatal(err)
	}
	store := pairing.NewStore(state, self, identity.Camera)

	for range n {
		viewer, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}
		pair := &envelope.Pair{Self: self, Role: identity.Camera, Peer: viewer.Bundle(), Secret: envelope.Secret{1}}
		if err := store.Put(pairing.Record{
			Pair:     pair,
			RelayURL: "http://127.0.0.1:1",
			PairedAt: time.Now(),
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A camera with a full roster shows no code and says why. With one viewer fewer it shows a code.
func TestFullRosterShowsNoCode(t *testing.T) {
	state, url := t.TempDir(), "http://127.0.0.1:1"
	fill(t, state, MaxViewers)
	codes := make(chan pairing.Code, 1)
	var log bytes.Buffer
	c, err := New(Config{
		State:      state,
		Name:       "front door",
		RelayURL:   url,
		Stream:     picture(),
		PairWindow: time.Hour,
		Logger:     slog.New(slog.NewTextHandler(&log, nil)),
		OnCode: func(code pairing.Code) {
			select {
			case codes <- code:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	if err := c.pairViewers(t.Context()); !errors.Is(err, ErrFull) || len(codes) > 0 {
		t.Fatalf("a camera with %d viewers: %v, and %d codes", MaxViewers, err, len(codes))
	}
	c.openWindow(t.Context())
	if !strings.Contains(log.String(), `msg=pairing err="this camera serves 64 viewers at most`) {
		t.Errorf("logged %q", log.String())
	}

	for fingerprint := range c.viewers {
		if err := c.Remove(fingerprint); err != nil {
			t.Fatal(err)
		}
		break
	}

	run(t, c.pairViewers)
	await(t, codes, "code")
}

// A roster with too many viewers is an error. The first ones can watch, and nobody else can pair.
func TestRosterBeyondItsBoundIsReported(t *testing.T) {
	state := t.TempDir()
	fill(t, state, MaxViewers+2)
	c, err := New(Config{Stream: picture(), State: state, Name: "front door", RelayURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}

	if err := c.RosterError(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "; it has 66") {
		t.Errorf("a roster of %d: %v", MaxViewers+2, err)
	}
	if len(c.viewers) != MaxViewers || !c.isFull() || !c.Owned() {
		t.Errorf("a roster of %d: %+v", MaxViewers+2, c)
	}
}
