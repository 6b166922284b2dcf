package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// need returns the path of a program, or skips the test. In CI the program must be installed.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", program)
		}
		t.Skipf("%s is not installed", program)
	}

	return path
}

func clips(t *testing.T) []Clip {
	t.Helper()
	all, err := Clips()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestClips(t *testing.T) {
	for n, clip := range clips(t) {
		t.Run(clip.Name, func(t *testing.T) {
			if clip.Number != n || clip.Len() != 45 {
				t.Errorf("number %d, %d access units", clip.Number, clip.Len())
			}
			var inspector Inspector
			for i, unit := range clip.units {
				_, key, err := inspector.Inspect(unit)
				if err != nil || key != (i%15 == 0) {
					t.Errorf("access unit %d: key %v, %v", i, key, err)
				}
			}

			sps := inspector.SPS()
			profile := "High"
			if sps.Profile == 66 && sps.Constraints&0x40 != 0 {
				profile = "Constrained Baseline"
			}

			if profile != clip.Profile || sps.Width != 640 || sps.Height != 360 || inspector.CanReorder() {
				t.Errorf("%s, %+v", profile, sps)
			}
		})
	}
}

// TestClipPictures decodes every clip, with -short one of each profile: the corner has the background's colour, and no
// two pictures are equal.
func TestClipPictures(t *testing.T) {
	ffmpeg := need(t, "ffmpeg")
	tried := clips(t)
	if testing.Short() {
		tried = tried[:2]
	}
	for _, clip := range tried {
		t.Run(clip.Name, func(t *testing.T) {
			cmd := exec.Command(ffmpeg, "-threads", "1", "-v", "error", "-f", "h264", "-i", "pipe:0", "-f", "rawvideo",
				"-pix_fmt", "rgb24", "pipe:1")
			cmd.Stdin = bytes.NewReader(bytes.Join(clip.units, nil))
			var complaints strings.Builder
			cmd.Stderr = &complaints
			decoded := &decodedClip{background: clip.Background, seen: make(map[[sha256.Size]byte]bool)}
			cmd.Stdout = decoded
			if err := cmd.Run(); err != nil || complaints.Len() > 0 {
				t.Fatalf("decode: %v: %s", err, complaints.String())
			}

			if decoded.count != 45 || len(decoded.started) != 0 {
				t.Fatalf("%d pictures and %d bytes", decoded.count, len(decoded.started))
			}
			if decoded.wrong != "" {
				t.Fatal(decoded.wrong)
			}
			if seen := decoded.seen; len(seen) != 45 {
				t.Errorf("%d different pictures of 45", len(seen))
			}
		})
	}
}

// decodedClip looks at each picture as soon as ffmpeg has written it, and keeps only its hash: a clip is 31 MB of them.
type decodedClip struct {
	background color.RGBA
	started    []byte
	count      int
	wrong      string // what the first wrong corner is
	seen       map[[sha256.Size]byte]bool
}

func (d *decodedClip) Write(b []byte) (int, error) {
	const size, at = 640 * 360 * 3, (20*640 + 20) * 3
	d.started = append(d.started, b...)
	for ; len(d.started) >= size; d.started = append(d.started[:0], d.started[size:]...) {
		d.count++
		d.seen[sha256.Sum256(d.started[:size])] = true
		for i, want := range []byte{d.background.R, d.background.G, d.background.B} {
			if diff := int(d.started[at+i]) - int(want); d.wrong == "" && (diff < -4 || diff > 4) {
				d.wrong = fmt.Sprintf("the corner is %v, want %v", d.started[at:at+3], d.background)
			}
		}
	}

	return len(b), nil
}

func TestClipSource(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		clip := clips(t)[3]
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		start := time.Now()
		var got []AccessUnit

		err := clip.Source("camera three").Run(ctx, func(unit AccessUnit) {
			if got = append(got, unit); len(got) == 100 {
				cancel(stop)
			}
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}

		for n, unit := range got {
			if marks := Marks(unit.Data); len(marks) != 1 || marks[0] != "camera three" {
				t.Fatalf("access unit %d has marks %q", n, marks)
			}
			bare := bytes.Replace(unit.Data, MarkSEI("camera three"), nil, 1)
			if !bytes.Equal(bare, clip.units[n%45]) || unit.Keyframe != (n%15 == 0) {
				t.Fatalf("access unit %d differs from the clip", n)
			}
			if late := unit.Captured.Time().Sub(start) - time.Duration(n)*time.Second/15; late < 0 ||
				late > time.Millisecond || unit.PTS > time.Since(start) {
				t.Fatalf("access unit %d arrived %v late, PTS %v", n, late, unit.PTS)
			}
		}
	})
}

// TestMarkedClipDecodes checks that ffprobe accepts a marked stream.
func TestMarkedClipDecodes(t *testing.T) {
	ffprobe := need(t, "ffprobe")
	for _, clip := range clips(t)[:2] {
		file := filepath.Join(t.TempDir(), "marked.h264")
		var stream []byte
		for n := range 60 {
			stream = append(stream, InsertSEI(clip.units[n%45], MarkSEI("identity\x00\x00\x01"))...)
		}

		if err := os.WriteFile(file, stream, 0o600); err != nil {
			t.Fatal(err)
		}
		probe(t, ffprobe, file, 60)
	}
}

// probe fails the test unless ffprobe decodes exactly the given number of pictures, without complaint.
func probe(t *testing.T, ffprobe, file string, pictures int) {
	t.Helper()
	out, err := exec.Command(ffprobe, "-v", "warning", "-count_frames", "-show_entries", "stream=nb_read_frames",
		"-of", "csv=p=0", file).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != strconv.Itoa(pictures) {
		t.Errorf("ffprobe %s: %v: %s, want %d pictures", file, err, got, pictures)
	}
}
