package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Commands that get a secret where it does not belong complain without repeating it.
func TestCommandsEchoNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "S3CRET"
	link := "https://relay.example/pair#AQGgRd_HKmDVClBueu0qpGpCMHZruFK3TwyD5jeLgDhm_" + secret
	state := t.TempDir()

	for _, args := range [][]string{
		{"relay", "serve", "-listen", "admin:" + secret + "@cam/x"},
		{"relay", "serve", "-public-url", "https://u:" + secret + "@relay.example"},
		{"relay", "serve", "-drain", "rtsp://u:p@" + secret + "/#@cam"},
		{"relay", "ticket", link},
		{"camera", "-relay", "https://relay.example", "-state", state, "-input", "admin:" + secret + "@cam/x"},
		{"camera", "-relay", "https://relay.example", "-state", state, "-input", "rtmp://u:" + secret + "@cam/x"},
		{"camera", "-relay", "https://relay.example", "-state", state, "-input", "rtsp://u:12/" + secret + "@cam/x"},
		{"camera", "-relay", "https://relay.example", "-state", state, "-input",
			"rstp://u:" + secret + "@cam/" + secret},
		{"camera", "-relay", "https://u:" + secret + "@relay.example", "-state", state, "-input", "test"},
		{"camera", "-pair-window", "rtsp://u:" + secret + "/@cam"},
		{"camera", "rtsp://u:" + secret + "?@cam"},
		{"camera-sim", "-n", link},
		{"viewer", "-state", state, "watch", link},
		{"viewer", "-state", state, "watch", link, "-json"},
		{"viewer", "-state", state, "watch", "admin:" + secret + "@cam", "-json"},
		{"viewer", "-state", state, "snapshot", "x", "-timeout", link},
		{"viewer", "-state", state, "doctor", "-relay", "https://u:" + secret + "@relay.example"},
		{"relay", "serve", "-turn-mbit", link},
		{"relay", "doctor", "-listen", "127.0.0.1:1", "-tls-cert", "admin:" + secret + "@cam"},
		{"viewer", "-state", state, "pair", strings.ReplaceAll(link, "#", "%23")},
		{"viewer", "-state", state, "watch", "x", "-frames", link},
		{"viewer", link},
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(binaries(t), args[0]), args[1:]...).CombinedOutput()
		if err == nil || len(out) == 0 {
			t.Errorf("%q: %v, %q", args, err, out)
		}
		if strings.Contains(string(out), secret) {
			t.Errorf("%q said %s", args, out)
		}
	}
}
