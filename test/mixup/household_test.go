package main

import (
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// Pictures are counted by the mark in them, stills and live frames alike: the zero of the sealed run is worth as much
// as this.
func TestStrangersAreCounted(t *testing.T) {
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	tally := new(tally)
	home := newHousehold(1, "", "", clips, tally)
	own, other := home.lens.picture(), newHousehold(2, "", "", clips, tally).lens.picture()
	for name, picture := range map[string][]byte{"a stranger's": other, "without a mark": []byte("no picture"),
		"two in one": slices.Concat(own, other), "own": own} {
		for _, way := range []string{"still", "first picture", "live"} {
			tally.counts = counts{}
			home := newHousehold(1, "", "", clips, tally)
			sample := newSample(tally)
			home.heal(time.Now())
			sample.heal(time.Now())
			if way == "still" {
				home.shown(picture)
			} else {
				sample.frame(home, picture, way == "first picture")
			}

			c := tally.now()
			c.back, c.liveBack = nil, nil
			var want counts
			switch {
			case name == "own" && way == "still":
				want = counts{Own: 1, Back: 1}
			case name == "own" && way == "live":
				want = counts{LiveOwn: 1, LiveBack: 1}
			case name == "own": // which a session that is not back shows too
			case way == "still":
				want = counts{Strangers: 1, Saw: 1}
			default:
				want = counts{LiveStrangers: 1, Saw: 1}
			}

			if got, want := c.numbers(), want.numbers(); !slices.Equal(got, want) {
				t.Errorf("%s, %s: counted %v, want %v", way, name, got, want)
			}
		}
	}
}

// numbers returns the counts that say whose pictures were shown.
func (c counts) numbers() []int {
	return []int{c.Own, c.Strangers, c.Saw, c.Back, c.LiveOwn, c.LiveStrangers, c.LiveBack}
}
