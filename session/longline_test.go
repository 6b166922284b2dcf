package session

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/bubble"
)

// parity adds forward error correction to the lines of TestLongLine, below RTP: one parity packet for so many packets,
// used as well as possible.
var parity = flag.Int("parity", 0, "packets to one of forward error correction")

// The farther away the camera is, the later a retransmission arrives, and the more a second loss costs. A film of 1
// Mbit/s runs over lines as long as a satellite's. The last two carry less than the film, and must not lose more
// because of copies, or because the sender learns of the loss too late. A bubble's goroutines take turns by chance, so
// the bounds leave room for one bad minute; they are far better than earlier results (doc/benchmarks.md).
func TestLongLine(t *testing.T) {
	if bubble.RaceDetector {
		t.Skip("takes ten minutes and more under the race detector; TestThinLine covers the same code")
	}
	const wide, thin = 2_000_000, 800_000
	for i, tt := range []struct {
		rate      int
		roundTrip time.Duration
		loss      float64
		burst     float64
		shown     float64 // share of the pictures, at least
		freezes   int     // at most, in a minute
	}{
		{wide, 100 * ms, 0.02, 0, 0.95, 0},
		{wide, 100 * ms, 0.05, 0, 0.95, 0},
		{wide, 100 * ms, 0.1, 0, 0.9, 0},
		{wide, 200 * ms, 0.02, 0, 0.95, 0},
		{wide, 200 * ms, 0.05, 0, 0.95, 0},
		{wide, 200 * ms, 0.1, 0, 0.85, 2},
		{wide, 400 * ms, 0.02, 0, 0.9, 2},
		{wide, 400 * ms, 0.05, 0, 0.9, 3},
		{wide, 400 * ms, 0.1, 0, 0.8, 6},
		{wide, 600 * ms, 0.02, 0, 0.9, 3},
		{wide, 600 * ms, 0.05, 0, 0.85, 5},
		{wide, 600 * ms, 0.1, 0, 0.8, 8},
		{wide, 400 * ms, 0.05, 0.5, 0.8, 5},
		{wide, 400 * ms, 0.1, 0.5, 0.7, 10},
		{wide, 600 * ms, 0.05, 0.5, 0.75, 8},
		{thin, 400 * ms, 0.02, 0, 0.4, 6},
		{thin, 600 * ms, 0.05, 0, 0.25, 10},
	} {
		if testing.Short() && i%8 != 0 {
			continue
		}
		name := fmt.Sprintf("%.1f Mbit_s, %v, %.0f %%", float64(tt.rate)/1e6, tt.roundTrip, 100*tt.loss)
		if tt.burst > 0 {
			name += " in bursts"
		}
		t.Run(name, func(t *testing.T) {
			var v verdict
			for n := range *screenings {
				bubble.Test(t, func(t *testing.T) {
					s := both(tt.rate, tt.loss, tt.roundTrip/2).lasting(time.Minute)
					s.up.parity, s.up.burst, s.down.burst = *parity, tt.burst, tt.burst
					s.seed, s.carrier = uint64(n), []media.Carrier{media.H264Carrier, media.VP8Carrier}[n%2]
					v.add(s.run(t))
				})
			}

			t.Log(&v)
			if n := v.freezes(); n > tt.freezes**screenings {
				t.Errorf("%d freezes, the longest of %v", n, quantile(v.gaps, 1))
			}
			if share := float64(v.shown) / float64(max(1, v.captured)); share < tt.shown {
				t.Errorf("%.0f %% of the pictures are shown", 100*share)
			}

			if v.spoiled > 0 || len(v.rejections) > 0 {
				t.Errorf("%d pictures not decodable, rejected: %q", v.spoiled, v.rejections)
			}
		})
	}
}
