package camera

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// A viewer's envelopes are opened at a bounded rate, and the log says so once a minute.
func TestAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		a := newAllowance()
		taken := 0
		for range 1000 {
			if a.spend(log, "viewer") {
				taken++
			}
		}

		if taken != offersAtOnce || strings.Count(said.String(), TooOftenText) != 1 {
			t.Errorf("%d are opened at once, want %d: %s", taken, offersAtOnce, &said)
		}

		taken = 0
		for range 600 * 10 { // ten minutes
			time.Sleep(100 * time.Millisecond)
			if a.spend(log, "viewer") {
				taken++
			}
		}

		if taken < 600*offersPerSecond-1 || taken > 600*offersPerSecond+1 {
			t.Errorf("%d are opened in ten minutes, want %d", taken, 600*offersPerSecond)
		}
		if lines := strings.Count(said.String(), TooOftenText); lines > 11 {
			t.Errorf("%d lines in ten minutes", lines)
		}
	})
}

// For ten minutes four tabs, whose network comes and goes every two seconds, offer a session each time and another a
// moment later. All of the offers are opened.
func TestReconnectStormIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllowance()
		for turn := range 10 * 30 {
			for _, after := range []time.Duration{0, 700 * time.Millisecond} {
				time.Sleep(after)
				for range 4 {
					if !a.spend(slog.New(slog.DiscardHandler), "viewer") {
						t.Fatalf("not looked at, at turn %d", turn)
					}
				}
			}
			time.Sleep(1300 * time.Millisecond)
		}
	})
}

// TestFloodIsNotOpened: the camera opens as much of a viewer's flood as it allows. It opens nothing that others send in
// the viewer's place, and charges nothing of that to the viewer's allowance. Nobody can fill the log.
func TestFloodIsNotOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stranger := newWatched(t), newWatched(t)
		foreign := offerOf(t, stranger.pair, time.Now())
		for range 10 * offersAtOnce {
			w.receive(foreign)
		}

		if n := w.Rejected(); n != 10*offersAtOnce {
			t.Fatalf("%d foreign envelopes are counted", n)
		}

		// An envelope with the tag of this mailbox, which anybody can copy, costs an operation with the private key.
		copied := bytes.Clone(offerOf(t, w.pair, time.Now()))
		copied[len(copied)-1] ^= 1
		for range 10 * offersAtOnce {
			w.receive(copied)
		}

		if n := w.Rejected() - 10*offersAtOnce; n != offersAtOnce {
			t.Errorf("%d envelopes with a copied tag were opened, want %d", n, offersAtOnce)
		}

		time.Sleep(time.Minute)
		for range 10 * offersAtOnce {
			w.receive(offerOf(t, w.pair, time.Now()))
		}
		synctest.Wait()
		if n := w.viewer.offers; n != offersAtOnce {
			t.Errorf("%d offers were taken, want %d", n, offersAtOnce)
		}

		w.end()
		stranger.end()
		if lines := strings.Count(w.said.String(), "\n"); lines > 2*offersAtOnce {
			t.Errorf("%d lines of log for %d envelopes", lines, 30*offersAtOnce)
		}

		if n := strings.Count(w.said.String(), TooOftenText); n != 2 {
			t.Errorf("told %d times, want twice: a minute lies between", n)
		}
	})
}

// Only the first copy of an expired offer is refused, since a refusal must be sealed.
func TestCopyOfALateOfferIsPassedOver(t *testing.T) {
	w := newWatched(t)
	late := offerOf(t, w.pair, time.Now().Add(-time.Hour))
	for range 5 {
		w.receive(bytes.Clone(late))
	}

	if w.viewer.offers != 1 || w.Rejected() != 0 {
		t.Errorf("%d of 5 copies are taken for offers, %d for the relay's", w.viewer.offers, w.Rejected())
	}
}

// A viewer's envelope that is no offer starts nothing.
func TestWelcomeFromAViewerStartsNothing(t *testing.T) {
	w := newWatched(t)
	now := time.Now()
	sealed, err := w.pair.Seal(w.box, envelope.Message{
		Type:   envelope.TypeWelcome,
		Sent:   now,
		Expiry: now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}

	w.receive(sealed.Wire)
	if w.viewer.offers != 0 || len(w.rejected) != 0 {
		t.Errorf("%d offers, rejected: %v", w.viewer.offers, w.rejected)
	}
}

// The handbook has every warning about a viewer, with what to do.
func TestWarningsAreInTheHandbook(t *testing.T) {
	for page, texts := range map[string][]string{
		"../doc/operations.md": {TooOftenText,
			ClockText[:len("a viewer's offer is dated otherwise than this camera's clock shows")]},
		"../doc/protocol.md": {ClockText},
	} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(b), text) {
				t.Errorf("%s does not say %q", page, text)
			}
		}
	}
}
