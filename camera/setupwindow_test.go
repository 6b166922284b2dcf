package camera

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// Pairing goes on after the relay has refused something. It ends with the window, or with any other error.
func TestRefusalVoidsACodeAndNoMore(t *testing.T) {
	open, closeIt := context.WithCancel(t.Context())
	defer closeIt()
	closed, cancel := context.WithCancel(t.Context())
	cancel()
	refused, broken := &signaling.Error{Code: signaling.CodeQuota}, errors.New("broken")

	for _, tt := range []struct {
		name      string
		window    context.Context
		err, want error
	}{
		{"nothing", open, nil, nil},
		{"the relay's refusal", open, refused, nil},
		{"anything else", open, broken, broken},
		{"the relay's refusal at the window's end", closed, refused, nil},
		{"anything else at the window's end", closed, broken, nil},
	} {
		if got := ignoreVoid(tt.window, tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// If a pair cannot be undone, the error names both causes: why it had to be undone, and why it could not be.
func TestPairThatCannotBeTakenBackIsAnError(t *testing.T) {
	c, e := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1"})
	viewerKey, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pair := &envelope.Pair{Self: c.self, Role: identity.Camera, Peer: viewerKey.Bundle()}
	why := errors.New("not told")
	if err := c.revert(t.Context(), &viewer{camera: c, record: pairing.Record{Pair: pair}}, nil, why); !errors.Is(err,
		why) {
		t.Errorf("a pair that is on no roster: %v", err)
	}

	if len(e.refused) != 0 {
		t.Errorf("the person hears that the pair was undone, although it was not")
	}
}

// A camera that has always had room for a pair logs nothing about it.
func TestNothingIsLoggedWhileThereIsRoom(t *testing.T) {
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1"})
	var said bytes.Buffer
	c.cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
	if c.awaitRoom(t.Context()); said.Len() != 0 {
		t.Errorf("logged: %s", said.String())
	}
}

// A reply that cannot be sent ends the code.
func TestReplyThatCannotBeSentEndsTheCode(t *testing.T) {
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1"})
	other, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	bubble.Test(t, func(t *testing.T) {
		displayer, err := pairing.NewDisplayer(c.self, identity.Camera, c.cfg.RelayURL, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		m1, err := pairing.NewScanner(other, displayer.Code()).Handle(displayer.Hello())
		if err != nil {
			t.Fatal(err)
		}

		inbox := make(chan signaling.Delivery, 1)
		inbox <- signaling.Delivery{Body: m1}
		broken := errors.New("broken")
		pair, err := c.converse(t.Context(), displayer, inbox, func([]byte) error { return broken })
		if pair != nil || !errors.Is(err, broken) {
			t.Errorf("pair %t, %v; want %v", pair != nil, err, broken)
		}
	})
}
