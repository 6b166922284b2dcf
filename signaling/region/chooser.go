package region

import (
	"time"
)

const (
	// settleHome is for how long another region must have been better before it becomes home.
	settleHome = 5 * time.Minute
	// settleStandby is for how long another region must have been the one to stand by before it takes that place.
	settleStandby = time.Minute

	// minGain is by how much a region must be nearer than home.
	minGain = 10 * time.Millisecond
)

// Chooser chooses a camera's home and standby by what the camera measures (doc/protocol.md, section 5.10). It changes
// its mind slowly, so that a bad minute of a network moves nothing.
type Chooser struct {
	Home, Standby string // relay URLs; Standby is empty if there is none

	home, standby contender
}

// contender is a region that is to take a place, if it remains the best one.
type contender struct {
	url   string // empty: there is none
	since time.Time
}

// Judge considers new measurements: the round trips to those of the regions that could be reached, by URL. The regions
// are in the camera's place order. A camera that reaches none changes nothing.
func (c *Chooser) Judge(now time.Time, order []Region, roundTrips map[string]time.Duration) (changed bool) {
	if len(roundTrips) == 0 {
		c.home, c.standby = contender{}, contender{}
		return false
	}
	before := *c
	if c.home.settles(c.nearer(order, roundTrips), now, settleHome) {
		c.Home, c.home = c.home.url, contender{}
	}

	best := c.firstInOrder(order, roundTrips)
	vacant := c.Standby == "" || c.Standby == c.Home
	if best == c.Standby && !vacant {
		c.standby = contender{}
	} else if c.standby.settles(best, now, settleStandby) || vacant {
		c.Standby, c.standby = best, contender{}
	}
	return c.Home != before.Home || c.Standby != before.Standby
}

// Settled returns after what time the regions must be measured again so that the choice can change, zero if nothing
// asks for a change.
func (c *Chooser) Settled() time.Duration {
	switch {
	case c.standby.url != "":
		return settleStandby
	case c.home.url != "":
		return settleHome
	}
	return 0
}

// settles notes who is best now, and reports whether that has been the same region for long enough. best may be empty.
func (c *contender) settles(best string, now time.Time, after time.Duration) bool {
	if best != c.url {
		*c = contender{best, now}
	}
	return best != "" && now.Sub(c.since) >= after
}

// nearer returns a region that is so much nearer than home that it should be home, or "". It stays with the one that is
// to become home for as long as that is true of it; otherwise two that are about as near would keep each other out.
func (c *Chooser) nearer(order []Region, roundTrips map[string]time.Duration) string {
	if c.gains(c.home.url, roundTrips) {
		return c.home.url
	}
	nearest := ""
	for _, r := range order {
		d, ok := roundTrips[r.URL]
		if ok && (nearest == "" || d < roundTrips[nearest]) {
			nearest = r.URL
		}
	}
	if c.gains(nearest, roundTrips) {
		return nearest
	}
	return ""
}

// gains reports whether a region can be reached and is so much nearer than home that it should be home.
func (c *Chooser) gains(url string, roundTrips map[string]time.Duration) bool {
	d, reached := roundTrips[url]
	if !reached || url == c.Home {
		return false
	}
	home, reached := roundTrips[c.Home]
	gain := home - d
	return !reached || gain >= minGain && 3*gain >= home
}

// firstInOrder returns the first region in the place order that can be reached and is not home, or "".
func (c *Chooser) firstInOrder(order []Region, roundTrips map[string]time.Duration) string {
	for _, r := range order {
		if _, ok := roundTrips[r.URL]; ok && r.URL != c.Home {
			return r.URL
		}
	}
	return ""
}
