package e2e

import (
	"strings"
	"testing"
)

// A stream without keyframes, which refreshes its picture bit by bit, is shown from a recovery point on if the browser
// can begin there. If it cannot, the page says what to change, and raises no alarm.
func TestGradualRefreshIsShownOrExplained(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	link := func() string {
		return startCameraCommand(t, url, "-input", "../../media/testdata/refresh.h264")
	}
	t.Run("firefox", func(t *testing.T) {
		r := drive{Browser: "firefox", Policy: "plain", Steps: []step{
			{"open": link()}, {"wait": "playing", "cards": 1}, {"frames": 20},
		}}.run(t)
		if c := r.Cards[0]; c.State != "playing" || c.Live != "true" {
			t.Errorf("card %+v", c)
		}
	})

	for name, hide := range map[string]bool{"chromium, H.264-shaped": false, "chromium, VP8-shaped": true} {
		t.Run(name, func(t *testing.T) {
			r := drive{Browser: "chromium", Policy: "plain", HideH264: hide, Steps: []step{
				{"open": link()}, {"message": "intra refresh|cannot decode"},
			}}.run(t)
			c := r.Cards[0]
			explained := strings.Contains(c.Message, "intra refresh") || strings.Contains(c.Message, "cannot decode")
			if !explained || c.Rejected != "" || c.Alarm != "" {
				t.Errorf("card %+v", c)
			}
		})
	}
}
