package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
)

// A person at a terminal who left out rtsp:// is asked whether that was meant. Yes, which Enter stands for, opens the
// URL; anything else is the error that a script gets. The password is not shown.
func TestTerminalAsksForAMissingScheme(t *testing.T) {
	t.Parallel()
	relay := startRelayCommand(t)
	film, err := os.ReadFile("../../media/rtsp/testdata/slices.h264")
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name, answer string
		opens        bool
	}{
		{"Enter", "\n", true},
		{"yes", "Y\n", true},
		{"no", "n\n", false},
		{"something else", "what?\n", false},
		{"end of input", "\x04", false},
		{"interrupt", "\x03", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			device := rtsptest.New(t, rtsptest.Options{FPS: 15, Units: rtsptest.Split("H264", film)})
			input := "admin:hunter2@" + device.Host() + "/live"
			c := converse(t, "camera", "-relay", relay, "-state", t.TempDir(), "-input", input)
			c.sees(t, "Did you mean rtsp://admin:")
			c.sees(t, "? [Y/n] ")
			if len(device.Requests()) != 0 {
				t.Errorf("before the answer, the device got %q", device.Requests())
			}

			c.types(t, tt.answer)
			if tt.opens {
				within(t, patience, "the device is asked for its stream", func() bool {
					return slices.ContainsFunc(device.Requests(), func(r string) bool {
						return strings.HasPrefix(r, "DESCRIBE ")
					})
				})
				c.types(t, "\x03")
			}

			code, screen := c.end(t), c.screen()
			const refusal = "open input: no such file or directory: did you mean rtsp://"
			if !tt.opens && (code != 1 || !strings.Contains(screen, refusal)) {
				t.Errorf("exit %d, the terminal shows\n%s", code, screen)
			}
			if strings.Contains(screen, "hunter2") {
				t.Errorf("the terminal shows the password:\n%s", screen)
			}
		})
	}
}
