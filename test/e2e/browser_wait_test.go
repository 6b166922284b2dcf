package e2e

import (
	"strings"
	"testing"
)

// If a browser cannot decode what a camera sends, the page says so in its own words, not the camera's, and says what to
// change.
func TestBrowserSaysThatItCannotDecode(t *testing.T) {
	t.Parallel()
	link := startCameraCommand(t, startRelayCommand(t), "-input", "../../media/testdata/hi10.h264")
	r := drive{Browser: "firefox", Policy: "plain", Steps: []step{
		{"open": link}, {"message": "cannot decode"}, {"notice": "cannot decode"},
	}}.run(t)
	const want = "This browser cannot decode 10 bit video. Set the camera to H.264 Main or High"
	if c := r.Cards[0]; !strings.HasPrefix(c.Message, want) || c.State == "playing" || c.Alarm != "" {
		t.Errorf("card %+v, want %q", c, want)
	}
}

// A page says what it waits for, and how long that can take, before it has waited that long.
func TestBrowserSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	camera := start(t, "camera", "-relay", url, "-state", t.TempDir(), "-name", "porch", "-input",
		"../../media/testdata/gop60.h264")
	link := camera.line(t, "pair porch ")
	drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": link}, {"wait": "playing", "cards": 1}, {"tell": "halt", "hear": true},
		{"visit": url}, {"message": "^Waiting for your camera’s answer, 10 seconds at most"},
		{"message": "did not answer"},
		{"tell": "go on", "hear": true}, {"wait": "playing", "cards": 1},
	}}.run(t, func(line string) {
		if line == "halt" {
			halt(t, camera)
		} else {
			goOn(t, camera)
		}
	})
}
