//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
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

// toldLegs returns what the viewer was told last.
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

// measure reports whether these legs may be a measurement of real ones.
func (l legs) measure(real legs) bool {
	for i := range l {
		if l[i] < real[i] || l[i] > real[i]+50 {
			return false
		}
	}
	return true
}

// stageWays makes three regions with keys and a paired viewer, all of whose media is relayed. The camera is at home
// at a.
func stageWays(t testing.TB) (*scene, *labRegions) {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t)}
	r := s.stageAmong(t, natlab.SymmetricRandom, []string{"a", "b", "c"}, "camera-sim")
	s.pair(t)
	return s, r
}

// between are distances at which region b is on the shortest way, and a on the next.
var between = struct{ camera, viewer legs }{legs{10, 30, 120}, legs{150, 30, 120}}

// A session goes through the region over which the way between both ends is shortest, to whichever end the regions are
// near, and says so.
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
			t.Errorf("%s: signaling by %s, TURN by %s, explained by %+v; want a, and TURN by %s", tt.name,
				w.SignalingRegion, w.TURNRegion, *region, tt.want)
		}
		if !strings.Contains(w.Why, "through region "+tt.want+", the shortest way of 3: ") {
			t.Errorf("%s: the sentence is %q", tt.name, w.Why)
		}
	}
}

// When the region dies through which the media goes, or drains, and signaling goes through another, the picture moves.
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
		"drains": {func() { b.relay.stop() }, maxFreeze}, // b.relay is another process each time
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
		gap := a.longest(since.began.Add(-time.Second / 2)) // the gap begins with the last picture before
		t.Logf("%s: longest gap %v", name, gap)
		if gap-since.lost() > lose.most {
			t.Errorf("%s: nothing came for %v; the viewer said\n%s", name, gap, a.said())
		}
		a.stop()
		r.start(t, b)
	}
}
