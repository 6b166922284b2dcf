//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

var away = flag.Duration("away", 10*time.Minute, "how long BenchmarkGaps leaves a session without signaling")

// BenchmarkGaps prints a histogram of the gaps between pictures, of which the source makes 15 a second, during events
// that a session should hardly notice.
func BenchmarkGaps(b *testing.B) {
	bounds := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second,
		3 * time.Second}
	for _, row := range []struct {
		name  string
		goes  func(*scene)
		lasts time.Duration
	}{
		{"nothing", func(*scene) {}, 30 * time.Second},
		{"10 % loss at the camera, both ways", func(s *scene) {
			q := natlab.Quality{Loss: 0.1}
			s.home.Network().Impair(q, q)
		}, 60 * time.Second},
		{"signaling and the relay are away", func(s *scene) { s.relay.kill() }, *away},
	} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				s := newScene(b, natlab.PortRestricted, natlab.PortRestricted)
				a := s.watch(b)
				row.goes(s)
				began := time.Now()
				within(b, row.lasts+30*time.Second, "the time passes", func() bool {
					return time.Since(began) > row.lasts
				})
				counts, all := make([]float64, len(bounds)+1), 0
				var before time.Time

				for _, at := range a.now() {
					if at.After(began) && !before.IsZero() {
						i := 0
						for i < len(bounds) && at.Sub(before) >= bounds[i] {
							i++
						}
						counts[i]++
						all++
					}
					before = at
				}

				if time.Since(before) > 3*time.Second {
					b.Errorf("no picture for %s at the end", time.Since(before))
				}
				b.ReportMetric(float64(all), "pictures")
				b.ReportMetric(float64(a.longest(began).Milliseconds()), "longest-ms")
				for i, n := range counts {
					if i == len(bounds) {
						b.ReportMetric(n, "longer")
					} else {
						b.ReportMetric(n, fmt.Sprintf("under-%v", bounds[i]))
					}
				}
			}
		})
	}
}
