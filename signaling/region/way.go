package region

import (
	"cmp"
	"slices"
	"time"
)

const (
	// MaxLegs is the most regions whose TURN servers an end measures.
	MaxLegs = 5
	// MaxRoundTrip is the longest round trip that an end reports to the other, in milliseconds.
	MaxRoundTrip = 10_000

	// minSaved is how many milliseconds another region must save over the asked relay's own. A smaller difference is
	// noise, and a session that depends on two regions fails if either does.
	minSaved = 10
)

// Leg is the round trip between an end and a region's TURN server.
type Leg struct {
	Name      string `json:"name"`       // the region's
	RoundTrip int    `json:"round_trip"` // in milliseconds, 1 to MaxRoundTrip
}

// Valid reports whether a leg is within its bounds.
func (l Leg) Valid() bool { return IsName(l.Name) && 1 <= l.RoundTrip && l.RoundTrip <= MaxRoundTrip }

// Way is a way for media through a region's TURN server, with each end's round trip to that server in milliseconds.
type Way struct {
	Name    string `json:"name"` // the region's
	Camera  int    `json:"camera"`
	Viewer  int    `json:"viewer"`
	Regions int    `json:"regions"` // how many regions there were to choose from
}

// Valid reports whether a way is within its bounds.
func (w Way) Valid() bool {
	return Leg{w.Name, w.Camera}.Valid() && Leg{w.Name, w.Viewer}.Valid() && 1 <= w.Regions && w.Regions <= MaxLegs
}

func (w Way) roundTrip() int { return w.Camera + w.Viewer }

// ShortestWay returns the shortest way through a region whose legs both ends know. It prefers region own, if both legs
// to it are known, unless another is at least 10 ms shorter. It returns false if no region is known to both ends.
func ShortestWay(own string, camera, viewer []Leg) (Way, bool) {
	var ways []Way
	for _, c := range camera {
		for _, v := range viewer {
			if v.Name == c.Name {
				ways = append(ways, Way{Name: c.Name, Camera: c.RoundTrip, Viewer: v.RoundTrip})
			}
		}
	}
	if len(ways) == 0 {
		return Way{}, false
	}

	shortest := slices.MinFunc(ways, func(a, b Way) int { return cmp.Compare(a.roundTrip(), b.roundTrip()) })
	i := slices.IndexFunc(ways, func(w Way) bool { return w.Name == own })
	if i >= 0 && ways[i].roundTrip() < shortest.roundTrip()+minSaved {
		shortest = ways[i]
	}
	shortest.Regions = len(ways)
	return shortest, true
}

// Nearest returns at most MaxLegs regions whose TURN servers an end should measure: those with a URL in first, then
// those with the nearest relays. It skips regions that could not be reached, and regions without a key, where no other
// region can grant access.
func Nearest(regions []Region, first []string, roundTrips map[string]time.Duration) []Region {
	able := slices.DeleteFunc(slices.Clone(regions), func(r Region) bool {
		_, reached := roundTrips[r.URL]
		return !reached || r.Key == ""
	})
	later := func(r Region) int { // 0 for those that come first
		if slices.Contains(first, r.URL) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(able, func(a, b Region) int {
		return cmp.Or(cmp.Compare(later(a), later(b)), cmp.Compare(roundTrips[a.URL], roundTrips[b.URL]))
	})
	return able[:min(len(able), MaxLegs)]
}

// Legs returns the legs for round trips, which are keyed by region name, shortest first.
func Legs(roundTrips map[string]time.Duration) []Leg {
	var legs []Leg
	for name, d := range roundTrips {
		ms := (d + time.Millisecond - 1) / time.Millisecond
		legs = append(legs, Leg{name, min(max(1, int(ms)), MaxRoundTrip)})
	}
	slices.SortFunc(legs, func(a, b Leg) int {
		return cmp.Or(cmp.Compare(a.RoundTrip, b.RoundTrip), cmp.Compare(a.Name, b.Name))
	})
	return legs
}

// SameLegs reports whether two measurements differ by noise alone: they have the same regions, and each pair of round
// trips differs by less than 10 ms or by less than a third of the longer one.
func SameLegs(a, b []Leg) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		i := slices.IndexFunc(b, func(y Leg) bool { return y.Name == x.Name })
		if i < 0 || differ(x.RoundTrip, b[i].RoundTrip) {
			return false
		}
	}
	return true
}

func differ(a, b int) bool {
	apart := max(a, b) - min(a, b)
	return apart >= minSaved && 3*apart >= max(a, b)
}
