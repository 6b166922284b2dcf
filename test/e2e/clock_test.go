package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/session"
)

// clockFrom returns a clock that showed a given time when the test began, and runs from there.
func clockFrom(t *testing.T, at time.Time) *expiry.Clock {
	t.Helper()
	began := time.Now()
	c, err := expiry.Open(t.TempDir(), expiry.Source{Wall: func() time.Time { return at.Add(time.Since(began)) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the clocks of a camera and a viewer show, they pair, and the viewer sees the picture, live. If the clocks
// differ, the viewer says which camera's clock to set.
func TestDevicesPairWhateverTheirClocksShow(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	now := time.Now()
	for _, tt := range []struct {
		name           string
		camera, viewer time.Time
		told           string
	}{
		{"both right", now, now, ""},
		{"the camera's was never set", time.Unix(0, 0), now, "This camera's clock is wrong: it shows 1 January 1970"},
		{"the camera's is years ahead", now.AddDate(70, 0, 0), now, "This camera's clock shows"},
		{"the viewer's is an hour ahead", now, now.Add(time.Hour), "This camera's clock shows"},
		{"the viewer's was never set", now, time.Unix(0, 0), "This camera's clock shows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := runCameraBy(t, clockFrom(t, tt.camera), r.URLs()[0], "front door", 0,
				filepath.Join(t.TempDir(), "camera"))
			defer h.stop()
			v := newViewerBy(t, clockFrom(t, tt.viewer))
			pairWith(t, v, h)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			since := startStopwatch()
			s := &seen{mark: h.Mark, enough: 10, done: cancel}
			var told []string
			w := s.watch(false)
			w.OnStatus = func(status session.Status) {
				if strings.Contains(status.Text, "clock") { // a busy machine may have other things to say
					told = append(told, status.Text)
				}
			}
			if err := v.Watch(ctx, "front door", w); err != nil {
				t.Fatal(err)
			}

			late := s.live != s.frames && since.lost() < time.Second
			if s.frames < 10 || late || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("frames %d, live %d, foreign %d, rejected %d; want 10 live", s.frames, s.live, s.foreign,
					s.rejected)
			}
			if all := strings.Join(told, " "); (tt.told == "") != (all == "") || !strings.Contains(all, tt.told) {
				t.Errorf("told %q, want %q", told, tt.told)
			}

			if still, err := v.Still(t.Context(), "front door", nil); err != nil || !still.Live() {
				t.Errorf("a still: live %t, %v", still.Live(), err)
			}
		})
	}
}

// The page pairs with a camera whose clock was never set, and shows its picture.
func TestBrowserWatchesACameraWhoseClockIsUnset(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	h := runCameraBy(t, clockFrom(t, time.Unix(0, 0)), c.URLs()[0], "front door", 2,
		filepath.Join(t.TempDir(), "camera"))
	for _, browser := range []string{"chromium", "firefox"} {
		r := drive{Browser: browser, Policy: "plain", Steps: []step{
			{"open": c.URLs()[0]}, {"paste": h.code(t).URI()}, {"wait": "playing", "cards": 1}, {"frames": 10},
		}}.run(t)
		if card := r.Cards[0]; card.Live != "true" || card.Rejected != "" {
			t.Errorf("%s: %+v", browser, card)
		}
	}
}
