//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// legs are the round trips of an end to the regions a, b and c, in milliseconds.
type legs [3]int

// distances sets how far camera and viewer are from the regions.
func (s *scene) distances(r *labRegions, camera, viewer legs) {
	for i, name := range []string{"a", "b", "c"} {
		s.home.Network().Distance(r.regions[name].host, time.Duration(camera[i])*time.Millisecond)
		s.person.Network().Distance(r.regions[name].host, time.Duration(viewer[i])*time.Millisecond)
	}
}

// learnsLegs has the camera measure its legs anew, and watches until the viewer has learned them.
func (s *scene) learnsLegs(t testing.TB, camera legs) {
	t.Helper()
	eventually(t, "the viewer knows the camera's legs", func() bool {
		s.cams.stop()
		s.startCamera(t)
		for range 10 {
			s.once(t, "5")
			if s.toldLegs(t).measure(camera) {
				return true
			}
		}
		return false // a busy machine measured something else
	})
}

// toldLegs returns the camera's legs as the viewer last learned them.
func (s *scene) toldLegs(t testing.TB) (told legs) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.flags[1], "relays", "*.json"))
	if err != nil || len(files) == 0 {
		return told
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}

	var kept struct {
		List struct {
			TURN []struct {
				Name      string `json:"name"`
				RoundTrip int    `json:"round_trip"`
			} `json:"turn"`
		} `json:"list"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	for _, leg := range kept.List.TURN {
		told[strings.Index("abc", leg.Name)] = leg.RoundTrip
	}
	return told
}

// measure reports whether l could be what an end measures at the given distances.
func (l legs) measure(real legs) bool {
	for i := range l {
		if l[i] < real[i] || l[i] > real[i]+50 {
			return false
		}
	}
	return true
}

// stageWays makes three regions with keys, and a camera and a paired viewer whose media is always relayed. The camera's
// home is region a, and it can be paired again.
func stageWays(t testing.TB) (*scene, *labRegions) {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	r := s.stageAmong(t, natlab.SymmetricRandom, []string{"a", "b", "c"}, "camera-sim", "-pair-more")
	s.pair(t)
	return s, r
}

// between are distances that put region b on the shortest way and region a on the second shortest.
var between = struct{ camera, viewer legs }{legs{10, 30, 120}, legs{150, 30, 120}}

// A session uses the region on the shortest way between both ends, whichever end it is near, and says so.
func TestShortestWayIsTaken(t *testing.T) {
	t.Parallel()
	s, r := stageWays(t)
	for _, tt := range []struct {
		name           string
		camera, viewer legs
		want           string
	}{
		{"between both ends", between.camera, between.viewer, "b"},
		{"near the camera", legs{10, 130, 160}, legs{50, 30, 20}, "a"},
		{"near the viewer", legs{90, 130, 100}, legs{180, 130, 10}, "c"},
	} {
		s.distances(r, tt.camera, tt.viewer)
		s.learnsLegs(t, tt.camera)
		w, code := s.once(t, "10")
		region := w.Explain.Region
		if code != 0 || w.Path != "relay" || region == nil {
			t.Fatalf("%s: %+v", tt.name, w)
		}
		t.Logf("%s: signaling %s, TURN %s: %s", tt.name, w.SignalingRegion, w.TURNRegion, w.Why)
		if w.TURNRegion != tt.want || region.Name != tt.want || region.Regions != 3 || w.SignalingRegion != "a" {
			t.Errorf("%s: signaling through %s, TURN through %s, explanation %+v; want a for signaling, %s for TURN",
				tt.name, w.SignalingRegion, w.TURNRegion, *region, tt.want)
		}
		if !strings.Contains(w.Why, "via region "+tt.want+", the best of 3 (") {
			t.Errorf("%s: the sentence is %q", tt.name, w.Why)
		}
	}
}

// The picture moves when the region that relays the media drains or dies, while signaling goes through another region.
func TestPictureLeavesALostWay(t *testing.T) {
	t.Parallel()
	s, r := stageWays(t)
	s.distances(r, between.camera, between.viewer)
	s.learnsLegs(t, between.camera)
	b := r.regions["b"]
	for name, lose := range map[string]struct {
		it   func()
		most time.Duration
	}{
		"drains": {func() { b.relay.stop() }, maxFreeze}, // b.relay is a new process each time
		"dies":   {func() { b.relay.kill() }, 3 * time.Second},
	} {
		a := s.watch(t)
		a.runs(t)

		if metricAt(t, b.host, regionAllocations) == 0 {
			t.Fatalf("%s: the media does not go through b", name)
		}

		since := startStopwatch()
		lose.it()
		a.backAfter(t, time.Now())
		gap := a.longest(since.began.Add(-time.Second / 2)) // the gap starts at the last picture before the loss
		t.Logf("%s: longest gap %v", name, gap)
		if gap-since.lost() > lose.most {
			t.Errorf("%s: nothing came for %v; the viewer said\n%s", name, gap, a.said())
		}
		a.stop()
		r.start(t, b)
	}
}

// A page takes the shortest way too, and its picture leaves a region that dies. It waits a quarter of a second for its
// measurements at most, which is too short for a busy machine, so it may try a few times.
func TestBrowserTakesTheShortestWay(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			for range directTries {
				if pageLeavesWay(t, browser) {
					return
				}
			}
			t.Error("the page never takes the way through b")
		})
	}
}

// pageLeavesWay reports whether a page takes the way through region b, and checks that its picture leaves b then.
func pageLeavesWay(t *testing.T, browser string) (taken bool) {
	t.Helper()
	s, r := stageWays(t)
	s.distances(r, between.camera, between.viewer)
	s.learnsLegs(t, between.camera)
	link := s.cams.line(t, "pair sim-0 ")

	b := r.regions["b"]
	var since stopwatch
	lose := func(string) {
		taken = metricAt(t, b.host, regionAllocations) > 0
		since = startStopwatch()
		b.relay.kill()
	}
	d := drive{Browser: browser, Policy: "plain", TrustAll: true, by: s.person.Start, Steps: []step{
		{"open": link}, {"wait": "playing", "cards": 1}, {"frames": 30}, // it learns the legs, and the map
		{"visible": false}, {"wait": "paused", "cards": 1}, {"visible": true}, {"wait": "playing", "cards": 1},
		{"frames": 30}, {"why": true}, {"keep": true}, {"gap": true}, {"tell": "kill b", "hear": true},
		{"frames": 60},
	}}

	seen := d.run(t, lose)
	before, after := seen.Kept[0], seen.Cards[0]
	if !taken {
		t.Logf("not through b: %s", before.Why)
		return false
	}
	if !strings.Contains(before.Record, "via region b, the best of ") { // it may not wait for c
		t.Errorf("before: %+v", before)
	}
	gap, err := strconv.ParseFloat(after.Gap, 64)
	freeze := time.Duration(gap * float64(time.Millisecond))
	t.Logf("%s; longest gap after b was killed %v", before.Why, freeze)
	if err != nil || freeze-since.lost() > 3*time.Second {
		t.Errorf("no picture for %v, %v", freeze, err)
	}
	if after.Path != "Relayed" || after.Live != "true" || after.Rejected != "" || after.Alarm != "" {
		t.Errorf("card %+v", after)
	}
	return true
}

// BenchmarkWayLost measures the longest gap in a relayed picture when the region is killed through which the media
// goes, and signaling goes through another.
func BenchmarkWayLost(b *testing.B) {
	var gaps []float64
	for b.Loop() {
		s, r := stageWays(b)
		camera, viewer := legs{5, 15, 60}, legs{60, 15, 60}
		s.distances(r, camera, viewer)
		s.learnsLegs(b, camera)
		lost := r.regions["b"]
		for range 12 {
			a := s.watch(b)
			a.runs(b)
			if metricAt(b, lost.host, regionAllocations) == 0 {
				b.Fatal("the media does not go through b")
			}
			since := time.Now().Add(-time.Second / 2) // the gap starts at the last picture before the loss
			lost.relay.kill()
			a.backAfter(b, time.Now())
			gaps = append(gaps, float64(a.longest(since).Milliseconds()))
			a.stop()
			r.start(b, lost)
			r.awaitEverybody(b, lost, 0)
		}
	}

	b.ReportMetric(percentile(gaps, 50), "p50-gap-ms")
	b.ReportMetric(percentile(gaps, 100), "worst-gap-ms")
}
