//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

const filmRate = 25 // pictures a second

// film makes a stream of a certain rate, in kbit/s, with a keyframe every two seconds.
func film(t testing.TB, rate int) (file string) {
	t.Helper()
	need(t, "ffmpeg")
	const length = 20
	file = filepath.Join(t.TempDir(), "film.h264")
	bits := fmt.Sprintf("%dk", rate)
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc2=size=640x360:rate=%d,noise=alls=30:allf=t", filmRate),
		"-t", fmt.Sprint(length), "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "baseline", "-bf", "0",
		"-pix_fmt", "yuv420p",
		"-g", fmt.Sprint(2*filmRate), "-sc_threshold", "0", "-b:v", bits, "-maxrate", bits, "-bufsize", bits,
		file).CombinedOutput()
	if err != nil {
		t.Fatalf("make film: %v\n%s", err, out)
	}

	if got := int(size(file)) * 8 / length / 1000; got < rate*9/10 || got > rate*11/10 {
		t.Fatalf("a film of %d kbit/s, want %d", got, rate)
	}
	return file
}

// thinLine is the line of a camera that sends 1 Mbit/s. It carries twice that, and loses one packet in twenty, both
// ways.
type thinLine struct {
	natlab.Quality
	film string
}

func newThinLine(t testing.TB, delay time.Duration) thinLine {
	return thinLine{natlab.Quality{Rate: 2_000_000, Loss: 0.05, Delay: delay}, film(t, 1000)}
}

// scene returns a camera on the line, and a paired viewer.
func (l thinLine) scene(t testing.TB, args ...string) *scene {
	t.Helper()
	s := newStage(t, natlab.PortRestricted, natlab.PortRestricted, "camera",
		append([]string{"-name", "sim-0", "-input", l.film}, args...)...)
	s.home.Network().Impair(l.Quality, l.Quality)
	return s
}

// thinBrowsers are the browsers that watch over a thin line.
var thinBrowsers = map[string]drive{
	"chromium":             {Browser: "chromium", Policy: "plain", TrustAll: true},
	"chromium, VP8-shaped": {Browser: "chromium", Policy: "plain", TrustAll: true, HideH264: true},
	"firefox":              {Browser: "firefox", Policy: "plain", TrustAll: true},
}

// Over a thin line pictures keep coming, to the terminal and to both browsers. BenchmarkThinLine measures how evenly.
func TestThinLine(t *testing.T) {
	const pictures = 10 * filmRate
	line := newThinLine(t, 50*time.Millisecond)
	thin := func(t *testing.T, s *scene) {
		t.Helper()
		if up, _ := s.home.Network().Counts(); up.Lost < 20 {
			t.Errorf("the line lost %d packets: it was not thin", up.Lost)
		}
	}

	t.Run("terminal", func(t *testing.T) {
		t.Parallel()
		s := line.scene(t)
		s.pair(t)
		a := s.watch(t)
		eventually(t, "ten seconds of pictures", func() bool { return a.pictures(t) > pictures })
		t.Logf("the longest gap took %s", a.longest(time.Time{}))
		thin(t, s)
	})

	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			t.Parallel()
			d := thinBrowsers[browser]
			s := line.scene(t)
			d.by = s.person.Start
			d.Steps = []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": pictures}}
			if r := d.run(t); r.Cards[0].State != "playing" || r.Cards[0].Live != "true" {
				t.Errorf("card %+v", r.Cards[0])
			}
			thin(t, s)
		})
	}
}

// If a line does not carry the stream, a camera that has a lower one sends that, says so, and returns to the other when
// it can.
func TestLowerStreamGoesOverASlowLine(t *testing.T) {
	line := thinLine{natlab.Quality{Rate: 600_000, Delay: 20 * time.Millisecond}, film(t, 1000)}
	s := line.scene(t, "-input-low", film(t, 200))
	s.pair(t)
	a := s.watch(t)
	a.await(t, "camera: the network is too slow for this camera's main stream: this is the lower one\n", 1)
	a.runs(t)
	s.home.Network().Impair(natlab.Quality{}, natlab.Quality{})
	a.await(t, "camera: the picture is back\n", 1)
	a.runs(t)
}

// If a line does not carry the stream, the page says so below the picture, which continues. If the page's device is too
// busy instead, the page says that.
func TestBrowserSaysWhatIsTooSlow(t *testing.T) {
	line := thinLine{natlab.Quality{Rate: 600_000, Delay: 20 * time.Millisecond}, film(t, 1000)}
	s := line.scene(t)
	d := thinBrowsers["chromium"]
	d.by = s.person.Start
	d.Steps = []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"notice": "network"}, {"block": true},
		{"notice": "device"}}
	r := d.run(t)
	if len(r.Notices) != 2 || !strings.HasPrefix(r.Notices[0],
		"The camera says: the network is too slow for this camera's stream: ") ||
		r.Notices[1] != "The camera says: the viewing device is too busy to keep up: close other programs there" {
		t.Errorf("said %q", r.Notices)
	}
}

// BenchmarkThinLine watches for a minute: the longest time that the picture stood still, how often it did so for more
// than a second, and how many of the film's pictures came. Chromium, which plays the track, counts the pictures that it
// showed: of several that arrive at once, after a retransmission, only the last.
func BenchmarkThinLine(b *testing.B) {
	for _, delay := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond} {
		line, name := newThinLine(b, delay), fmt.Sprintf("%s each way, ", delay)
		b.Run(name+"terminal", func(b *testing.B) {
			for b.Loop() {
				line.terminal(b).report(b)
			}
		})

		for _, browser := range slices.Sorted(maps.Keys(thinBrowsers)) {
			b.Run(name+browser, func(b *testing.B) {
				for b.Loop() {
					line.browser(b, thinBrowsers[browser]).report(b)
				}
			})
		}
	}
}

// minute is what came during one.
type minute struct {
	gaps     []float64 // between pictures, in ms; several that come at once may count as one
	pictures int
}

func (l thinLine) terminal(t testing.TB) (m minute) {
	s := l.scene(t)
	s.pair(t)
	a := s.watch(t)
	began, before := time.Now(), a.pictures(t)
	within(t, 2*time.Minute, "a minute", func() bool { return time.Since(began) > time.Minute })
	m.pictures = a.pictures(t) - before
	times := slices.DeleteFunc(a.now(), func(t time.Time) bool { return t.Before(began) })
	for i, at := range times[1:] {
		m.gaps = append(m.gaps, float64(at.Sub(times[i]).Milliseconds()))
	}

	return m
}

func (l thinLine) browser(t testing.TB, d drive) (m minute) {
	s := l.scene(t)
	d.by = s.person.Start
	d.Steps = []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": 2 * filmRate}, {"gaps": 60}}
	m.gaps = d.run(t).Gaps
	m.pictures = len(m.gaps)
	return m
}

func (m minute) report(b *testing.B) {
	freezes := 0
	for _, gap := range m.gaps {
		if gap > 1000 {
			freezes++
		}
	}

	b.ReportMetric(percentile(m.gaps, 100), "longest-ms")
	b.ReportMetric(percentile(m.gaps, 99), "p99-ms")
	b.ReportMetric(float64(freezes), "freezes")
	b.ReportMetric(100*float64(m.pictures)/(60*filmRate), "%-came")
}
