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
	"github.com/peephole-cam/peephole/test/bubble"
)

// A viewer's envelopes are opened at a bounded rate. When some are refused, the log says so once a minute.
func TestAllowanceBoundsTheRate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
			t.Errorf("%d opened at once, want %d: %s", taken, offersAtOnce, &said)
		}

		taken = 0
		for range 600 * 10 { // ten minutes
			time.Sleep(100 * time.Millisecond)
			if a.spend(log, "viewer") {
				taken++
			}
		}

		if taken < 600*offersPerSecond-1 || taken > 600*offersPerSecond+1 {
			t.Errorf("%d opened in ten minutes, want %d", taken, 600*offersPerSecond)
		}
		if lines := strings.Count(said.String(), TooOftenText); lines > 11 {
			t.Errorf("%d lines logged in ten minutes", lines)
		}
	})
}

// Four tabs lose their network every two seconds for ten minutes. Each time, each of them offers a session, and another
// a moment later. All of the offers are opened.
func TestReconnectStormIsAllowed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := newAllowance()
		for turn := range 10 * 30 {
			for _, after := range []time.Duration{0, 700 * time.Millisecond} {
				time.Sleep(after)
				for range 4 {
					if !a.spend(slog.New(slog.DiscardHandler), "viewer") {
						t.Fatalf("the offer of turn %d was refused", turn)
					}
				}
			}
			time.Sleep(1300 * time.Millisecond)
		}
	})
}

// TestFloodIsNotOpened: the camera opens only as much of a viewer's flood as the allowance permits. It opens nothing
// that others send in the viewer's place, and does not charge the viewer for it. Nobody can fill the log.
func TestFloodIsNotOpened(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w, stranger := newWatched(t), newWatched(t)
		foreign := offerOf(t, stranger.pair, time.Now())
		for range 10 * offersAtOnce {
			w.receive(foreign)
		}

		if n := w.Rejected(); n != 10*offersAtOnce {
			t.Fatalf("%d foreign envelopes counted", n)
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
			t.Errorf("%d offers were accepted, want %d", n, offersAtOnce)
		}

		w.end()
		stranger.end()
		if lines := strings.Count(w.said.String(), "\n"); lines > 2*offersAtOnce {
			t.Errorf("%d lines logged for %d envelopes", lines, 30*offersAtOnce)
		}

		if n := strings.Count(w.said.String(), TooOftenText); n != 2 {
			t.Errorf("warned %d times, want twice: the warnings are a minute apart", n)
		}
	})
}

// Only the first copy of an expired offer is refused, since a refusal must be sealed.
func TestCopyOfALateOfferIsIgnored(t *testing.T) {
	w := newWatched(t)
	late := offerOf(t, w.pair, time.Now().Add(-time.Hour))
	for range 5 {
		w.receive(bytes.Clone(late))
	}

	if w.viewer.offers != 1 || w.Rejected() != 0 {
		t.Errorf("%d of 5 copies were taken for offers, %d for foreign envelopes", w.viewer.offers, w.Rejected())
	}
}

// An envelope from a viewer starts nothing unless it is an offer.
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

// The documentation quotes every warning about a viewer, and says what to do.
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
