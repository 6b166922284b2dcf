package session

import (
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/bubble"
)

// The camera tells the viewer how it sends, and that matches the line.
func TestSendingIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		screening
		limited, again, left bool
		slowest, fastest     int // kbit/s
	}{
		{"a wide line", both(0, 0, 50*ms), false, false, false, 4000, 1e9},
		{"one that loses", both(2_000_000, 0.05, 50*ms), true, true, false, 1000, 20_000},
		{"one that is too narrow", both(600_000, 0, 50*ms), true, true, true, 300, 900},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				tt.carrier = media.VP8Carrier
				told := tt.run(t).sending
				if len(told) < 12 {
					t.Fatalf("told %d times in half a minute", len(told))
				}
				n := told[len(told)-1]
				if n.Limited != tt.limited || n.Again > 0 != tt.again || tt.left && n.LeftOut == 0 ||
					!tt.left && n.LeftOut > 150 || n.Lower {
					t.Errorf("told %+v", n)
				}

				if n.Rate < tt.slowest || n.Rate > tt.fastest || n.RoundTrip < 100 || n.RoundTrip > 200 {
					t.Errorf("told %d kbit/s and a round trip of %d ms", n.Rate, n.RoundTrip)
				}
			})
		})
	}
}
