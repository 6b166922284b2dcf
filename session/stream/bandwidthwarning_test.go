package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

const (
	saysSlow = "the network is too slow for this camera's stream: 500 kbit/s, 1000 kbit/s wanted: " +
		"choose the camera's substream"
	saysBusy = "the camera's computer is too busy to send every picture: " +
		"let it do less, or choose the camera's substream"
	saysDevice = "the viewing device is too busy to keep up: close other programs there"
)

// late returns a picture that the network delayed for a second.
func late(carried float64) leftOut {
	return leftOut{late: time.Second, waited: 100 * time.Millisecond, carried: carried, wanted: 1_000_000}
}

// The warning begins when pictures are left out again and again, and ends some time after the last one. It does not
// change with every measurement.
func TestWarningComesAndGoesWithPicturesLeftOut(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		said := make(map[string]bool)
		for n := range 40 {
			if text := l.String(); (n > 5) != (text != "") { // one is left out per second; the warning needs five
				t.Fatalf("after %d seconds: %q", n, text)
			} else if text != "" {
				said[text] = true
			}
			l.noteLeftOut(time.Now(), late(500_000+float64(n%5)*40_000))
			time.Sleep(time.Second)
		}

		if len(said) != 1 || !said[saysSlow] {
			t.Errorf("said %v", said)
		}
		l.noteLeftOut(time.Now(), late(100_000))
		l.noteLeftOut(time.Now(), late(100_000))
		if text := l.String(); strings.Contains(text, "500") || text == "" {
			t.Errorf("much slower: %q", text)
		}

		if time.Sleep(clearAfter + 1); l.String() != "" {
			t.Error("the warning does not end")
		}
	})
}

// A hiccup causes no warning, and the warning names no rate that is unknown or cannot be right.
func TestFewPicturesLeftOutCauseNoWarning(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		for range 10 {
			for range 20 {
				l.noteLeftOut(time.Now(), late(500_000))
			}
			if l.String() != "" {
				t.Error("a hiccup causes a warning")
			}
			time.Sleep(2 * clearAfter)
		}

		for range 10 {
			l.noteLeftOut(time.Now(), late(0))
			time.Sleep(time.Second)
		}
		if text := l.String(); text !=
			"the network is too slow for this camera's stream: 1000 kbit/s wanted: choose the camera's substream" {
			t.Errorf("said %q", text)
		}
	})
}

// Two pictures are a hiccup too, however far apart they were left out. The third one, five seconds after the first,
// causes the warning.
func TestThreePicturesLeftOutCauseAWarning(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		for n, want := range []string{"", "", saysSlow} {
			l.noteLeftOut(time.Now(), late(500_000))
			if text := l.String(); text != want {
				t.Errorf("after %d pictures: said %q, want %q", n+1, text, want)
			}
			time.Sleep(5 * time.Second)
		}
	})
}

// What the viewer reports counts for a quarter. The viewer is to blame while that makes a quarter of its time.
func TestViewerIsToBlameForSomeReports(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		for n, want := range []shortage{ofViewer, ofViewer, ofViewer, ofViewer, ofViewer, ofNetwork} {
			l.noteLeftOut(time.Now(), late(500_000))
			busy := 0.0
			if n == 0 {
				busy = 1
			}
			if l.report(time.Now(), busy); l.shortage() != want { // 3/4 to the power of 4 is 0.32, and of 5 is 0.24
				t.Errorf("%d reports after the viewer was busy: %v, want %v", n, l.shortage(), want)
			}
			time.Sleep(time.Second)
		}
	})
}

// Until a group of pictures has ended, the rate that the stream needs is unknown.
func TestWarningWithoutARateNamesNone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var w bandwidthWarning
		for range 10 {
			w.noteLeftOut(time.Now(), leftOut{late: time.Second, waited: 100 * time.Millisecond})
			time.Sleep(time.Second)
		}
		const want = "the network is too slow for this camera's stream: choose the camera's substream"
		if text := w.String(); text != want {
			t.Errorf("says %q, want %q", text, want)
		}
	})
}

// If an end lacks processor time, the warning names that end, and not the network. If the network is the bottleneck,
// the warning names it, even on busy machines.
func TestWarningNamesTheBottleneck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		waited time.Duration // how much of its second of delay each picture waited for a processor
		busy   float64       // the share of its time that the viewer waits for a processor
		want   string
		lower  string
	}{
		{"a thin line", 0, 0, saysSlow, "the network is too slow for this camera's main stream: this is the lower one"},
		{"a thin line, and busy ends", 200 * time.Millisecond, 0.1, saysSlow,
			"the network is too slow for this camera's main stream: this is the lower one"},
		{"a busy camera", 700 * time.Millisecond, 0, saysBusy,
			"the camera's computer is too busy for its main stream: this is the lower one"},
		{"a busy viewer", 0, 0.4, saysDevice,
			"the viewing device is too busy for this camera's main stream: this is the lower one"},
		{"both on one busy machine", 700 * time.Millisecond, 0.7, saysBusy,
			"the camera's computer is too busy for its main stream: this is the lower one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var l bandwidthWarning
				for n := range 100 {
					p := late(500_000)
					p.waited = tt.waited
					l.noteLeftOut(time.Now(), p)
					if text := l.String(); n > 60 && text != tt.want || text != "" && text != tt.want {
						t.Fatalf("after %d: said %q, want %q", n, text, tt.want)
					}

					time.Sleep(time.Second / 10)
					if n%10 == 0 {
						l.report(time.Now(), tt.busy)
					}
				}

				for range 9 { // the warning does not switch to the network once the trouble is over
					l.report(time.Now(), 0)
					if text := l.String(); text != tt.want {
						t.Fatalf("afterwards: said %q, want %q", text, tt.want)
					}
					time.Sleep(time.Second)
				}

				if text := lowerFor(l.shortage()); text != tt.lower {
					t.Errorf("about the lower stream: said %q, want %q", text, tt.lower)
				}
			})
		})
	}
}

// The warning names the bottleneck of now, not an earlier one.
func TestWarningFollowsTheBottleneck(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		for _, phase := range []struct {
			waited time.Duration
			busy   float64
			want   string
		}{{0, 0, saysSlow}, {time.Second, 0, saysBusy}, {0, 0, saysSlow}, {0, 1, saysDevice}, {0, 0, saysSlow}} {
			for range 20 {
				p := late(500_000)
				p.waited = phase.waited
				l.noteLeftOut(time.Now(), p)
				l.report(time.Now(), phase.busy)
				time.Sleep(time.Second)
			}
			if text := l.String(); text != phase.want {
				t.Errorf("said %q, want %q", text, phase.want)
			}
		}
	})
}

// A viewer that sends no reports gets no new warning, because its next report may show the cause.
func TestWarningWaitsForTheViewersReport(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var l bandwidthWarning
		l.report(time.Now(), 0)
		for range 20 {
			l.noteLeftOut(time.Now(), late(500_000))
			time.Sleep(time.Second)
			if time.Since(l.heard) > viewerSilent && l.String() != "" {
				t.Fatal("a silent viewer gets a new warning")
			}
		}

		if l.report(time.Now(), 0.9); l.String() != saysDevice {
			t.Errorf("said %q, want %q", l.String(), saysDevice)
		}
		time.Sleep(time.Hour)
		if l.String() != saysDevice {
			t.Error("the warning changed for a silent viewer")
		}

		if l.report(time.Now(), 0); l.String() != "" {
			t.Error("the warning does not end")
		}
	})
}
