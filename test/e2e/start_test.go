//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// BenchmarkStart measures each phase of a start, with the real programs behind real routers: medians, in milliseconds
// since the viewer was connected to the relay. A round trip is the one between camera and viewer; the relay is halfway.
// TestStart in package session measures the same beside plain pion.
func BenchmarkStart(b *testing.B) {
	const sessions = 7
	for _, roundTrip := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond} {
		for _, path := range []string{"direct", "relay"} {
			b.Run(fmt.Sprintf("%s/%v", path, roundTrip), func(b *testing.B) {
				took := make(map[string][]float64)
				for b.Loop() {
					s := newScene(b, natlab.PortRestricted, natlab.PortRestricted)
					q := natlab.Quality{Delay: roundTrip / 4}
					s.home.Network().Impair(q, q)
					s.person.Network().Impair(q, q)
					var args []string
					if path == "relay" {
						args = append(args, "-relay-only")
					}

					for range sessions {
						w, _ := s.once(b, "1", args...)
						if w.Error != "" || w.Path != path {
							b.Fatalf("%+v", w)
						}
						for phase, at := range map[string]float64{"answered": w.Answered, "first-picture": w.TTFF,
							"checked": w.Checked, "connected": w.Connected, "stream": w.Stream} {
							took[phase] = append(took[phase], at-w.Reached)
						}
					}
				}

				for phase, all := range took {
					b.ReportMetric(percentile(all, 50), phase+"-ms")
					if phase == "stream" {
						b.ReportMetric(percentile(all, 100), "worst-stream-ms")
					}
				}
			})
		}
	}
}

// BenchmarkBrowserStart measures the same for a page that is connected to the relay, in milliseconds since the person
// asked to watch: the first picture, which comes sealed behind the answer, and the first of the stream.
func BenchmarkBrowserStart(b *testing.B) {
	const sessions = 7
	for _, roundTrip := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond} {
		for _, hide := range []bool{false, true} {
			for _, d := range []drive{{Browser: "chromium"}, {Browser: "chromium", HideH264: true},
				{Browser: "firefox"}} {
				path := map[bool]string{false: "direct", true: "relay"}[hide]
				carrier := map[bool]string{false: "h264", true: "vp8"}[d.HideH264 || d.Browser == "firefox"]
				b.Run(fmt.Sprintf("%s/%v/%s-%s", path, roundTrip, d.Browser, carrier), func(b *testing.B) {
					var first, stream []float64
					for b.Loop() {
						s := newStage(b, natlab.PortRestricted, natlab.PortRestricted, "camera-sim")
						q := natlab.Quality{Delay: roundTrip / 4}
						s.home.Network().Impair(q, q)
						s.person.Network().Impair(q, q)
						page, _, _ := strings.Cut(s.link, "/pair")
						d.Policy, d.TrustAll, d.by = "plain", true, s.person.Start
						d.Steps = []step{{"open": page + "/"}, {"hide": hide}, {"open": s.link},
							{"wait": "playing", "cards": 1}, {"sessions": sessions}}
						r := d.run(b)
						first, stream = append(first, r.First...), append(stream, r.TTFF...)
					}

					b.ReportMetric(percentile(first, 50), "first-picture-ms")
					b.ReportMetric(percentile(stream, 50), "stream-ms")
					b.ReportMetric(percentile(stream, 100), "worst-stream-ms")
				})
			}
		}
	}
}
