package e2e

import (
	"image/jpeg"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A snapshot shows what the camera sees now, however old or large its last keyframe is.
func TestSnapshotShowsNowBetweenKeyframes(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	url := startRelayCommand(t)
	for _, tt := range []struct{ name, input string }{
		{"a keyframe a minute", "../../media/testdata/gop60.h264"},
		{"a large keyframe a minute", largeKeyframe(t, 3_000_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newTerminal(t)
			v.pair(t, startCameraCommand(t, url, "-input", tt.input))
			v.ok(t, "watch", "porch", "-frames", "120") // 8 s: the keyframe is no longer live
			for range 2 {
				file := filepath.Join(t.TempDir(), "picture.jpg")
				v.ok(t, "snapshot", "porch", "-o", file)
				picture, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}

				if config, err := jpeg.DecodeConfig(picture); err != nil || config.Width != 160 {
					t.Errorf("a picture of %+v, %v", config, err)
				}
				picture.Close()
			}
		})
	}
}

// A snapshot of a camera without a picture says why, in time, how long it will keep waiting, and at the end what to do.
func TestSnapshotSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	url := startRelayCommand(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, and sends nothing
	if err != nil {
		t.Fatal(err)
	}

	defer silent.Close()
	v := newTerminal(t)
	v.pair(t, startCameraCommand(t, url, "-input", "rtsp://"+silent.Addr().String()+"/live"))
	o := v.run(t, "snapshot", "porch", "-o", filepath.Join(t.TempDir(), "picture.jpg"), "-timeout", "12s")
	const why = "no video yet: "
	if o.code != 1 || !strings.Contains(o.stderr, why) || !strings.Contains(o.stderr, " s left)\n") {
		t.Errorf("exit %d, said %q; want why, and how long there is left", o.code, o.stderr)
	}

	if end := "viewer: no live picture within 12s: "; !strings.Contains(o.stderr, end) ||
		!strings.Contains(o.stderr, "-timeout 48s") {
		t.Errorf("said %q; want %q, and what to do", o.stderr, end)
	}
	v.run(t, "snapshot", "porch", "-o", "-", "-timeout", "-1s").fails(t, "-timeout -1s: want 1s to 1h")
}
