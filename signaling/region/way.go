package region

import (
	"cmp"
	"slices"
	"time"
)

const (
	// MaxLegs is to how many regions' TURN servers an end measures the round trip.
	MaxLegs = 5
	// MaxRoundTrip bounds a round trip that an end tells the other, in milliseconds.
	MaxRoundTrip = 10_000

	// minSaved is by how many milliseconds a way through another region must be shorter than one through the region of
	// the relay that is asked. What differs by less is noise, and two regions can fail where one can.
	minSaved = 10
)

// Leg is how far an end is from the TURN server of a region.
type Leg struct {
	Name      string `json:"name"`       // the region's
	RoundTrip int    `json:"round_trip"` // in milliseconds, 1 to MaxRoundTrip
}

// Valid reports whether a leg is within its bounds.
func (l Leg) Valid() bool { return IsName(l.Name) && 1 <= l.RoundTrip && l.RoundTrip <= MaxRoundTrip }

// Way is a way of media between both ends of a session through the TURN server of a region, with the round trips of
// both ends to it in milliseconds.
type Way struct {
	Name    string `json:"name"` // the region's
	Camera  int    `json:"camera"`
	Viewer  int    `json:"viewer"`
	Regions int    `json:"regions"` // among how many regions it was chosen
}

// Valid reports whether a way is within its bounds.
func (w Way) Valid() bool {
	return Leg{w.Name, w.Camera}.Valid() && Leg{w.Name, w.Viewer}.Valid() && 1 <= w.Regions && w.Regions <= MaxLegs
}

func (w Way) roundTrip() int { return w.Camera + w.Viewer }

// ShortestWay returns the way whose round trip is least, of those whose legs are known at both ends: the one through
// the region own, unless another is at least 10 ms shorter or own's legs are not known. It returns false if no region's
// are.
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

// Nearest returns the regions to whose TURN servers an end measures the round trip: those at the URLs first, and then
// those whose relays are nearest, MaxLegs at most. It leaves out what could not be reached, and what has no key, since
// no other region grants access there.
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

// Legs returns legs for measured round trips, by the regions' names: the shortest leg first.
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

// SameLegs reports whether two measurements are the same but for noise: of the same regions, each within 10 ms or a
// third.
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
