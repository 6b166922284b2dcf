package region

import (
	"testing"
	"time"
)

// measurement is what a camera measures at a time, in milliseconds; 0: it cannot reach the region.
type measurement struct {
	at      time.Duration
	a, b, c int
	home    string
	standby string
}

func TestChooserChangesItsMindSlowly(t *testing.T) {
	order := []Region{{Name: "a", URL: "A"}, {Name: "b", URL: "B"}, {Name: "c", URL: "C"}}
	for name, measurements := range map[string][]measurement{
		"a standby at once": {{0, 20, 30, 40, "A", "B"}},
		"a nearer region for five minutes": {
			{0, 30, 20, 90, "A", "B"},
			{5*time.Minute - time.Second, 30, 20, 90, "A", "B"},
			{5 * time.Minute, 30, 20, 90, "B", "A"},
		},
		"a nearer region with a bad minute": {
			{0, 30, 20, 90, "A", "B"},
			{3 * time.Minute, 30, 25, 90, "A", "B"},
			{6 * time.Minute, 30, 20, 90, "A", "B"},
			{10 * time.Minute, 30, 20, 90, "A", "B"},
			{11 * time.Minute, 30, 20, 90, "B", "A"},
		},
		"two that take turns at being nearest": {
			{0, 90, 20, 30, "A", "B"},
			{4 * time.Minute, 90, 30, 20, "A", "B"},
			{8 * time.Minute, 90, 20, 30, "B", "A"},
		},
		"one that is no longer nearer, and then another": {
			{0, 90, 20, 0, "A", "B"},
			{4 * time.Minute, 90, 80, 20, "A", "B"},
			{8 * time.Minute, 90, 20, 20, "A", "B"},
			{9 * time.Minute, 90, 20, 20, "C", "B"},
		},
		"9 ms nearer":               {{0, 18, 9, 90, "A", "B"}, {time.Hour, 18, 9, 90, "A", "B"}},
		"30 % nearer":               {{0, 100, 70, 200, "A", "B"}, {time.Hour, 100, 70, 200, "A", "B"}},
		"10 ms and a third nearer":  {{0, 30, 20, 90, "A", "B"}, {time.Hour, 30, 20, 90, "B", "A"}},
		"home is lost":              {{0, 0, 90, 80, "A", "B"}, {5 * time.Minute, 0, 90, 80, "C", "B"}},
		"home is lost for a minute": {{0, 0, 90, 80, "A", "B"}, {time.Minute, 20, 90, 80, "A", "B"}},
		"the network is lost":       {{0, 20, 30, 40, "A", "B"}, {time.Hour, 0, 0, 0, "A", "B"}},
		"a lost network proves none": {
			{0, 0, 30, 90, "A", "B"},
			{time.Minute, 0, 0, 0, "A", "B"},
			{6 * time.Minute, 0, 30, 90, "A", "B"},
		},
		"the standby is lost": {
			{0, 20, 30, 40, "A", "B"},
			{time.Minute, 20, 0, 40, "A", "B"},
			{2 * time.Minute, 20, 0, 40, "A", "C"},
			{3 * time.Minute, 20, 30, 40, "A", "C"},
			{4 * time.Minute, 20, 30, 40, "A", "B"},
		},
		"the standby is lost for a moment": {
			{0, 20, 30, 40, "A", "B"},
			{time.Minute, 20, 0, 40, "A", "B"},
			{90 * time.Second, 20, 30, 40, "A", "B"},
			{3 * time.Minute, 20, 0, 40, "A", "B"},
		},
		"one region": {{0, 20, 0, 0, "A", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			c, begin := Chooser{Home: "A"}, time.Now()
			for _, m := range measurements {
				roundTrips := make(map[string]time.Duration)
				for url, ms := range map[string]int{"A": m.a, "B": m.b, "C": m.c} {
					if ms > 0 {
						roundTrips[url] = time.Duration(ms) * time.Millisecond
					}
				}
				before := c
				changed := c.Judge(begin.Add(m.at), order, roundTrips)
				if c.Home != m.home || c.Standby != m.standby {
					t.Errorf("after %v: home %s, standby %q, want %s, %q", m.at, c.Home, c.Standby, m.home, m.standby)
				}
				if want := c.Home != before.Home || c.Standby != before.Standby; changed != want {
					t.Errorf("after %v: changed %t", m.at, changed)
				}
			}
		})
	}
}

// The camera measures again when a change may be due, and seldom otherwise.
func TestChooserSaysWhenToMeasureAgain(t *testing.T) {
	order := []Region{{Name: "a", URL: "A"}, {Name: "b", URL: "B"}, {Name: "c", URL: "C"}}
	c, now := Chooser{Home: "A", Standby: "B"}, time.Now()
	for _, tt := range []struct {
		roundTrips map[string]time.Duration
		want       time.Duration
	}{
		{map[string]time.Duration{"A": 20e6, "B": 20e6, "C": 20e6}, 0},
		{map[string]time.Duration{"A": 20e6, "C": 20e6}, settleStandby},
		{map[string]time.Duration{"A": 90e6, "B": 20e6, "C": 90e6}, settleHome},
		{nil, 0},
	} {
		c.Judge(now, order, tt.roundTrips)
		if got := c.Settled(); got != tt.want {
			t.Errorf("%v: again in %v, want %v", tt.roundTrips, got, tt.want)
		}
	}
}
