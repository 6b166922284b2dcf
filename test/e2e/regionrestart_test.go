//go:build linux

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// maxFreeze is how long a picture may stand still while regions restart.
const maxFreeze = time.Second

// restartAll restarts one region after the other: the camera's home, from which sessions go to its standby, and then
// that, among others.
func (r *labRegions) restartAll(t testing.TB) {
	t.Helper()
	inUse := 0
	for _, name := range []string{"a", "b", "c"} {
		if r.restart(t, r.regions[name]) {
			inUse++
		}
	}
	if inUse < 2 {
		t.Errorf("%d of the regions were in use when they restarted, want home and standby", inUse)
	}
}

// An operator restarts all regions, one after the other, and no picture stands still, though all of them come through
// a relay: each session moves to another region before its own is gone.
func TestRegionsRestartUnderLivePictures(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	r := s.stageAmong(t, natlab.SymmetricRandom, []string{"a", "b", "c"}, "camera-sim")
	s.pair(t)
	viewers := map[string]*arrivals{"relayed": s.watch(t), "relay only": s.watch(t, "-relay-only")}

	since := startStopwatch()
	r.restartAll(t)
	for name, a := range viewers {
		a.runs(t)
		freeze := a.longest(since.began)
		t.Logf("%s: longest gap %v", name, freeze)
		if said := a.said(); strings.Contains(said, "trying again") || freeze-since.lost() > maxFreeze {
			t.Errorf("%s: nothing came for %v; the viewer said\n%s", name, freeze, said)
		}
		a.stop()
	}
}

// The same, in a browser.
func TestRegionsRestartUnderABrowsersPicture(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			s := &scene{lab: natlab.New(t)}
			r := s.stageAmong(t, natlab.SymmetricRandom, []string{"a", "b", "c"}, "camera-sim")
			var since stopwatch
			between := func(string) {
				since = startStopwatch()
				r.restartAll(t)
			}
			d := drive{Browser: browser, Policy: "plain", TrustAll: true, by: s.person.Start, Steps: []step{
				{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": 30}, {"gap": true},
				{"tell": "restart all", "hear": true}, {"frames": 60},
			}}

			c := d.run(t, between).Cards[0]
			gap, err := strconv.ParseFloat(c.Gap, 64)
			freeze := time.Duration(gap * float64(time.Millisecond))
			t.Logf("longest gap %v", freeze)
			if err != nil || freeze-since.lost() > maxFreeze {
				t.Errorf("no picture for %v, %v", freeze, err)
			}
			if c.Path != "Relayed" || c.Live != "true" || c.Rejected != "" || c.Alarm != "" {
				t.Errorf("card %+v", c)
			}
		})
	}
}

// BenchmarkRegionLost measures the longest gap in a relayed picture when the region in use is killed and the other is
// left. The two take turns.
func BenchmarkRegionLost(b *testing.B) {
	natlab.Need(b)
	var gaps []float64
	for b.Loop() {
		s := &scene{lab: natlab.New(b)}
		r := s.stageAmong(b, natlab.SymmetricRandom, []string{"a", "b"}, "camera-sim")
		s.pair(b)
		a := s.watch(b)
		for i := range 12 {
			lost := r.regions[[]string{"a", "b"}[i%2]]
			a.runs(b)
			if metricAt(b, lost.host, regionAllocations) == 0 {
				b.Fatalf("region %s is not in use", lost.name)
			}
			since := time.Now().Add(-time.Second / 2) // the gap begins with the last picture before
			lost.relay.kill()
			a.backAfter(b, time.Now())
			gaps = append(gaps, float64(a.longest(since).Milliseconds()))
			r.start(b, lost)
			r.awaitEverybody(b, lost, 2) // camera and viewer
		}
	}

	b.ReportMetric(percentile(gaps, 50), "p50-gap-ms")
	b.ReportMetric(percentile(gaps, 100), "worst-gap-ms")
}
