package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// A keyframe of 8 MB at the beginning of a minute of pictures reaches every browser, by either carrier, whether its
// packets come all at once or out of order.
func TestBrowserShowsLargeKeyframes(t *testing.T) {
	t.Parallel()
	sizes, runs := []int{8_000_000}, 1
	if text := os.Getenv("LARGE"); text != "" { // how many runs of each size, for doc/benchmarks.md
		sizes = []int{1_000_000, 3_000_000, 8_000_000}
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatalf("LARGE: %v", err)
		}
	}

	url := startRelayCommand(t)
	for _, tt := range []struct {
		name    string
		drive   drive
		element string
	}{
		{"chromium, H.264-shaped", drive{Browser: "chromium", Policy: "plain"}, "video"},
		{"firefox, VP8-shaped", drive{Browser: "firefox", Policy: "plain"}, "canvas"},
	} {
		for _, size := range sizes {
			var took []float64
			for range runs {
				t.Run(fmt.Sprintf("%s, %d kB", tt.name, size/1000), func(t *testing.T) {
					link := startCameraCommand(t, url, "-input", largeKeyframe(t, size))
					tt.drive.Steps = []step{{"open": link}, {"wait": "playing", "cards": 1}, {"frames": 20}}
					c := tt.drive.run(t).Cards[0]
					if c.Element != tt.element || c.Rejected != "" {
						t.Errorf("card %+v, want a picture in a %s", c, tt.element)
					}

					ms, err := strconv.ParseFloat(c.TTFF, 64)
					if err != nil {
						t.Error(err)
					}
					took = append(took, ms)
				})
			}

			slices.Sort(took)
			t.Logf("%s, %d kB: first picture after %.0f ms", tt.name, size/1000, took)
		}
	}
}

// largeKeyframe writes a minute of pictures whose only keyframe, the first picture, has size bytes. Filler data (H.264,
// 7.3.2.7), which decoders skip, makes it as large as a detailed keyframe of 4K video.
func largeKeyframe(t *testing.T, size int) (path string) {
	t.Helper()
	stream, err := os.ReadFile("../../media/testdata/gop60.h264")
	if err != nil {
		t.Fatal(err)
	}
	units, err := media.Split(stream)
	if err != nil {
		t.Fatal(err)
	}

	filler := append([]byte{0, 0, 0, 1, 12}, bytes.Repeat([]byte{0xff}, size-len(units[0])-6)...)
	units[0] = append(append(bytes.Clone(units[0]), filler...), 0x80)
	path = filepath.Join(t.TempDir(), "large.h264")
	if err := os.WriteFile(path, bytes.Join(units, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
