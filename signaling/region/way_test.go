package region

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"
)

// legsOf returns legs to the regions a, b and c in milliseconds; 0: not known.
func legsOf(a, b, c int) (legs []Leg) {
	for i, ms := range []int{a, b, c} {
		if ms > 0 {
			legs = append(legs, Leg{string(rune('a' + i)), ms})
		}
	}
	return legs
}

// The page chooses the same ways (web/test/unit/turnregions.test.ts).
func TestShortestWay(t *testing.T) {
	var cases []struct {
		Name, Own      string
		Camera, Viewer []Leg
		Way            *Way // nil: there is none
	}
	text, err := os.ReadFile("testdata/ways.json")
	if err == nil {
		err = json.Unmarshal(text, &cases)
	}
	if err != nil || len(cases) < 10 {
		t.Fatal(len(cases), err)
	}

	for _, tt := range cases {
		got, ok := ShortestWay(tt.Own, tt.Camera, tt.Viewer)
		switch {
		case ok != (tt.Way != nil):
			t.Errorf("%s: %+v, %v", tt.Name, got, ok)
		case ok && (got != *tt.Way || !got.Valid()):
			t.Errorf("%s: %+v, want %+v", tt.Name, got, *tt.Way)
		}
	}
}

func TestNearestRegions(t *testing.T) {
	var regions []Region
	roundTrips := make(map[string]time.Duration)
	for i, name := range []string{"g", "f", "e", "d", "c", "b", "a"} {
		regions = append(regions, Region{Name: name, URL: name, Key: "k"})
		roundTrips[name] = time.Duration(100-i) * time.Millisecond
	}
	regions[5].Key = "" // b
	delete(roundTrips, "c")

	var got []string
	for _, r := range Nearest(regions, []string{"f", "g"}, roundTrips) {
		got = append(got, r.Name)
	}
	if want := []string{"f", "g", "a", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLegsAreOrderedAndBounded(t *testing.T) {
	const ms = time.Millisecond
	got := Legs(map[string]time.Duration{"a": time.Hour, "b": 1, "c": 20*ms + 1, "d": 20 * ms})
	if want := []Leg{{"b", 1}, {"d", 20}, {"c", 21}, {"a", MaxRoundTrip}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNoiseIsNoNewMeasurement(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b []Leg
		same bool
	}{
		"the same":             {legsOf(1, 20, 300), legsOf(1, 20, 300), true},
		"within 10 ms":         {legsOf(1, 20, 300), legsOf(10, 11, 300), true},
		"within a third":       {legsOf(1, 20, 300), legsOf(1, 20, 201), true},
		"beyond both":          {legsOf(1, 20, 300), legsOf(1, 30, 300), false},
		"a third less":         {legsOf(1, 20, 300), legsOf(1, 20, 200), false},
		"one more":             {legsOf(1, 20, 0), legsOf(1, 20, 300), false},
		"another in its place": {legsOf(1, 20, 0), legsOf(1, 0, 20), false},
		"none":                 {nil, nil, true},
	} {
		if SameLegs(tt.a, tt.b) != tt.same || SameLegs(tt.b, tt.a) != tt.same {
			t.Errorf("%s: want %v", name, tt.same)
		}
	}
}
