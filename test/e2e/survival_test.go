//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// disturbance is what happens to a session under way. It returns when there is a path again.
type disturbance struct {
	name           string
	camera, viewer natlab.Kind
	watch          []string // arguments
	leaves         bool     // leaves allocations behind
	happens        func(t testing.TB, s *scene) (wayAgain time.Time)
}

func disturbances(dark time.Duration) []disturbance {
	return []disturbance{
		{"the viewer moves from Wi-Fi to LTE", natlab.PortRestricted, natlab.PortRestricted, nil, true,
			func(t testing.TB, s *scene) time.Time {
				s.person.Move(s.lab.Network(natlab.SymmetricRandom))
				return time.Now()
			}},
		{"the viewer's router forgets its mappings", natlab.PortRestricted, natlab.PortRestricted, nil, true,
			func(t testing.TB, s *scene) time.Time {
				s.person.Network().Rebind()
				return time.Now()
			}},
		{"the camera's router reboots", natlab.PortRestricted, natlab.PortRestricted, nil, true,
			func(t testing.TB, s *scene) time.Time {
				s.home.Network().Reboot(dark)
				return time.Now()
			}},
		{"darkness", natlab.PortRestricted, natlab.PortRestricted, nil, false, func(t testing.TB, s *scene) time.Time {
			s.person.Network().Down()
			<-time.After(dark)
			s.person.Network().Up()
			return time.Now()
		}},
		{"the relay of a relayed session is killed and comes back", natlab.SymmetricRandom, natlab.SymmetricRandom, nil,
			false, func(t testing.TB, s *scene) time.Time {
				s.relay.kill()
				s.startRelay(t)
				return time.Now()
			}},
	}
}

// Whatever happens to a network under way, the picture comes back by itself, and once the viewer has gone nothing of
// its sessions is left. BenchmarkSurvival measures how soon.
func TestPictureSurvivesNetworkChanges(t *testing.T) {
	t.Parallel()
	for _, d := range disturbances(3 * time.Second) {
		t.Run(d.name, func(t *testing.T) {
			s := newScene(t, d.camera, d.viewer)
			before := openFiles(t, s.cams)
			a := s.watch(t, d.watch...)
			after := a.backAfter(t, d.happens(t, s))
			t.Logf("the picture was back %s after there was a way", after.Round(10*time.Millisecond))
			during := openFiles(t, s.cams)
			a.stop()
			if during <= before {
				t.Errorf("the camera has %d files open in a session, and %d without: nothing is measured", during,
					before)
			}

			eventually(t, fmt.Sprintf("the camera has no more files open than the %d before", before), func() bool {
				return openFiles(t, s.cams) <= before
			})
			if d.leaves { // at addresses that nobody has any more: they end with their lifetime
				return
			}
			eventually(t, "the relay has no allocation", func() bool { return s.allocations(t) == 0 })
		})
	}
}

// openFiles returns how many files, including sockets, a process has open.
func openFiles(t testing.TB, p *process) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// allocations returns how many the relay has.
func (s *scene) allocations(t testing.TB) float64 {
	t.Helper()
	return s.relayMetric(t, "peephole_turn_allocations")
}

// relayMetric reads one of the relay's metrics, by its name and labels.
func (s *scene) relayMetric(t testing.TB, name string) float64 {
	t.Helper()
	return metricAt(t, s.relayHost, name)
}

// metricAt reads a metric of the relay on a host, by its name and labels.
func metricAt(t testing.TB, host *natlab.Host, name string) float64 {
	t.Helper()
	client := http.Client{Timeout: patience,
		Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return host.Dial(net.Dialer{}, "tcp", relayMetrics)
			}}}

	response, err := client.Get("http://" + relayMetrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
	var n float64
	if _, err := fmt.Sscan(rest, &n); err != nil || !ok {
		t.Fatalf("read %s: %v", name, err)
	}
	return n
}

// A session under way does not notice when signaling is away.
func TestSignalingAwayIsNotNoticed(t *testing.T) {
	s := newScene(t, natlab.PortRestricted, natlab.PortRestricted)
	a := s.watch(t)
	s.relay.kill()
	gone := startStopwatch()
	for range 10 {
		a.runs(t)
	}

	if gap := a.longest(gone.began) - gone.lost(); gap > 5*time.Second {
		t.Errorf("no picture for %s", gap)
	}
}

// A relayed session has an allocation on each relay that the grant names. When the relay that carries the media dies,
// both ends continue through the other, with signaling and without.
func TestSessionSurvivesOneOfTwoRelays(t *testing.T) {
	s := newSceneOfTwoRelays(t, natlab.SymmetricRandom, natlab.SymmetricRandom)
	for range 3 { // by the third, one of those killed was most likely the relay with signaling
		a := s.watch(t)
		again := s.loseRelay(t, a)
		lost := startStopwatch()
		after := a.backAfter(t, lost.began) - lost.lost()
		t.Logf("the picture was back after %s", after.Round(10*time.Millisecond))
		if after > 5*time.Second {
			t.Errorf("no picture for %s", after)
		}

		a.stop()
		again(t)
	}
}

// A direct session survives when it loses its only relay, and signaling with it, soon after its start.
func TestYoungSessionLosesItsRelay(t *testing.T) {
	s := newScene(t, natlab.PortRestricted, natlab.PortRestricted)
	a := s.begin(t)
	eventually(t, "a picture comes", func() bool { return len(a.now()) > 2 })
	s.relay.kill()
	gone := startStopwatch()
	for range 5 {
		a.runs(t)
	}

	if gap := a.longest(gone.began) - gone.lost(); gap > 5*time.Second {
		t.Errorf("no picture for %s", gap)
	}
}

// BenchmarkSurvival measures how soon the picture is back, in milliseconds after there is a path again: median and
// worst of six. If no gap reaches half a second, it counts as none.
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

// BenchmarkRelayLost is BenchmarkSurvival for a session with two relays, of which the one that carries it is killed.
func BenchmarkRelayLost(b *testing.B) {
	var after []float64
	for b.Loop() {
		s := newSceneOfTwoRelays(b, natlab.SymmetricRandom, natlab.SymmetricRandom)
		for range 6 {
			a := s.watch(b)
			again := s.loseRelay(b, a)
			after = append(after, float64(a.backAfter(b, time.Now()).Milliseconds()))
			a.stop()
			again(b)
		}
	}

	b.ReportMetric(percentile(after, 50), "p50-back-ms")
	b.ReportMetric(percentile(after, 100), "worst-back-ms")
}
