package turn

import (
	"testing"
	"time"
)

func TestWorkerWaitsOnlyForFastSinglePackets(t *testing.T) {
	const us = time.Microsecond
	type round struct {
		took                time.Duration
		messages, datagrams int
	}
	for name, row := range map[string]struct {
		rounds []round // repeated
		want   bool    // after the last
	}{
		"one by one, 200,000 a second":    {[]round{{5 * us, 1, 1}}, true},
		"one by one, 142,000 a second":    {[]round{{7 * us, 1, 1}}, true},  // 4.3 in 30 µs
		"one by one, 125,000 a second":    {[]round{{8 * us, 1, 1}}, false}, // 3.75
		"one by one, 20,000 a second":     {[]round{{50 * us, 1, 1}}, false},
		"gathered, 200,000 a second":      {[]round{{70 * us, 14, 14}}, true},
		"gathered, but slower":            {[]round{{70 * us, 3, 3}}, false},
		"more than can be read at a time": {[]round{{80 * us, workerSlots, workerSlots}}, false},
		"joined bursts":                   {[]round{{20 * us, 4, 64}}, false},
		"joined in pairs":                 {[]round{{5 * us, 1, 2}}, false},
		"bursts one by one, 20,000 a second": {[]round{{365 * us, 1, 1}, {5 * us, 1, 1}, {5 * us, 1, 1},
			{5 * us, 1, 1}, {5 * us, 1, 1}, {5 * us, 1, 1}, {5 * us, 1, 1}, {5 * us, 1, 1}}, false},
		"two packets back to back, now and then": {[]round{{2 * time.Second, 1, 1}, {2 * us, 1, 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var g gathering
			got := false
			for range 50 {
				for _, r := range row.rounds {
					got = g.round(r.took, r.messages, r.datagrams)
				}
			}

			if got != row.want {
				t.Errorf("waits: %t", got)
			}
		})
	}

	t.Run("soon after a pause", func(t *testing.T) {
		var g gathering
		g.round(time.Hour, 1, 1)
		rounds := 1
		for ; !g.round(5*us, 1, 1); rounds++ {
			if rounds > 100 {
				t.Fatal("it never waits again")
			}
		}
	})
}
