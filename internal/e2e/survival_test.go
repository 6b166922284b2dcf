//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// disturbance is what happens to a session under way. It returns when there is a way again.
type disturbance struct {
	name           string
	camera, viewer natlab.Kind
	watch          []string // arguments
	happens        func(t testing.TB, s *scene) (wayAgain time.Time)
}

func disturbances(dark time.Duration) []disturbance {
	return []disturbance{
		{"the viewer moves from Wi-Fi to LTE", natlab.PortRestricted, natlab.PortRestricted, nil, func(t testing.TB, s *scene) time.Time {
			s.person.Move(s.lab.Network(natlab.SymmetricRandom))
			return time.Now()
		}},
		{"the viewer's router forgets its mappings", natlab.PortRestricted, natlab.PortRestricted, nil, func(t testing.TB, s *scene) time.Time {
			s.person.Network().Rebind()
			return time.Now()
		}},
		{"the camera's router reboots", natlab.PortRestricted, natlab.PortRestricted, nil, func(t testing.TB, s *scene) time.Time {
			s.home.Network().Reboot(dark)
			return time.Now()
		}},
		{"darkness", natlab.PortRestricted, natlab.PortRestricted, nil, func(t testing.TB, s *scene) time.Time {
			s.person.Network().Down()
			<-time.After(dark)
			s.person.Network().Up()
			return time.Now()
		}},
		{"the relay of a relayed session is killed and comes back", natlab.SymmetricRandom, natlab.SymmetricRandom, nil, func(t testing.TB, s *scene) time.Time {
			s.relay.kill()
			s.startRelay(t)
			return time.Now()
		}},
	}
}

// Whatever happens to a network under way, the picture comes back by itself. How soon is for BenchmarkSurvival to say.
func TestSurvival(t *testing.T) {
	for _, d := range disturbances(3 * time.Second) {
		t.Run(d.name, func(t *testing.T) {
			s := newScene(t, d.camera, d.viewer)
			a := s.watch(t, d.watch...)
			after := a.backAfter(t, d.happens(t, s))
			t.Logf("the picture was back %s after there was a way", after.Round(10*time.Millisecond))
		})
	}
}

// While signaling is away a session under way does not notice.
func TestSignalingAwayIsNotNoticed(t *testing.T) {
	s := newScene(t, natlab.PortRestricted, natlab.PortRestricted)
	a := s.watch(t)
	s.relay.kill()
	gone := time.Now()
	for range 10 {
		a.runs(t)
	}
	if gap := a.longest(gone); gap > 5*time.Second {
		t.Errorf("no picture for %s", gap)
	}
}

// BenchmarkSurvival measures how soon the picture is back, in milliseconds after there is a way again: median and worst of six. No gap of half a second
// counts as none at all.
func BenchmarkSurvival(b *testing.B) {
	const times = 6
	for _, d := range disturbances(30 * time.Second) {
		b.Run(d.name, func(b *testing.B) {
			var after []float64
			for b.Loop() {
				s := newScene(b, d.camera, d.viewer)
				a := s.watch(b, d.watch...)
				for range times {
					after = append(after, float64(a.backAfter(b, d.happens(b, s)).Milliseconds()))
					a.runs(b)
				}
			}
			b.ReportMetric(percentile(after, 50), "p50-back-ms")
			b.ReportMetric(percentile(after, 100), "worst-back-ms")
		})
	}
}
