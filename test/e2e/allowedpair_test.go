//go:build linux

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/test/natlab"
)

// started describes the start of one session between networks that have no path to each other except through the relay:
// what the other end offered, and how it went.
type started struct {
	alone                bool    // the other end offered only its relayed candidate
	others               int     // how many of its candidates are not relayed
	connected, reflexive bool    // through the relay; whether some of the others were server reflexive
	at                   float64 // from the session's start until the first candidate pair carried media, ms
}

// newRefusing sets up a scene in which the relay is the only path, though both ends have host and server reflexive
// candidates.
func newRefusing(t testing.TB) *scene {
	t.Helper()
	return newStage(t, natlab.SymmetricRandom, natlab.SymmetricRandom, "camera-sim")
}

// inBrowser starts sessions in a browser, each of either kind, alternating between offers with all candidates and
// offers with relayed candidates only.
func (s *scene) inBrowser(t testing.TB, browser string, each int, after func()) (all []started) {
	t.Helper()
	steps := []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": 5}}
	for range each {
		for _, alone := range []bool{false, true} {
			steps = append(steps, step{"hide": alone}, step{"sessions": 1}, step{"frames": 5},
				step{"path": "^Relayed$"}, step{"why": true}, step{"keep": true}, step{"tell": "kept", "hear": true})
		}
	}

	d := drive{
		Browser:  browser,
		Policy:   "plain",
		TrustAll: true,
		by:       s.person.Start,
		Steps:    steps,
	}
	for _, c := range d.run(t, func(string) { after() }).Kept {
		var e session.Explain
		if err := json.Unmarshal([]byte(c.Record), &e); err != nil {
			t.Fatalf("record %q: %v", c.Record, err)
		}
		one := started{alone: e.RelayOnly}
		for kind, n := range e.Other.Candidates {
			one.count(kind, n)
		}

		if e.Selected != nil && len(e.Types) > 0 {
			one.connected, one.at = strings.HasPrefix(string(e.Types[0].Type), "relay-"), e.Types[0].At
		}
		all = append(all, one)
	}

	return all
}

// inTerminal is inBrowser for the terminal viewer, whose WebRTC is pion's.
func (s *scene) inTerminal(t testing.TB, each int, after func()) (all []started) {
	t.Helper()
	s.pair(t)
	for range each {
		for _, args := range [][]string{nil, {"-relay-only"}} {
			w, code := s.once(t, "5", args...)
			if code != 0 {
				t.Fatalf("exit %d: %+v", code, w)
			}
			one := started{alone: args != nil}
			for kind, n := range w.Explain.Other.Candidates {
				one.count(kind, n)
			}

			if rungs := w.Explain.Rungs; len(rungs) > 0 {
				one.connected, one.at = strings.HasPrefix(rungs[0].Rung, "relay-"), rungs[0].At
			}
			all = append(all, one)
			after()
		}
	}

	return all
}

func (s *started) count(kind string, n int) {
	switch kind {
	case "relay4", "relay6":
		return
	case "srflx4", "srflx6":
		s.reflexive = s.reflexive || n > 0
	}
	s.others += n
}

// refusals returns how often the relay has answered a client's request for a peer with 403.
func (s *scene) refusals(t testing.TB) float64 {
	t.Helper()
	return s.relayMetric(t, `peephole_turn_refused_total{why="peer"}`)
}

// clients returns the functions that start sessions, by client.
func (s *scene) clients() map[string]func(t testing.TB, each int, after func()) []started {
	return map[string]func(testing.TB, int, func()) []started{
		"chromium": func(t testing.TB, each int, after func()) []started {
			return s.inBrowser(t, "chromium", each, after)
		},
		"firefox": func(t testing.TB, each int, after func()) []started {
			return s.inBrowser(t, "firefox", each, after)
		},
		"pion": s.inTerminal,
	}
}

// Chromium and Firefox, told 403 for the other end's host and reflexive candidates, connect through the pair that is
// allowed. So does pion as our viewer uses it: it knows what the relay would refuse and does not ask. When the other
// end offers only its relayed candidate, no client asks for more.
func TestConnectsPastRefusedPeers(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"chromium", "firefox", "pion"} {
		t.Run(client, func(t *testing.T) {
			s := newRefusing(t)
			before, refused := s.refusals(t), []float64{}
			all := s.clients()[client](t, 1, func() {
				now := s.refusals(t)
				refused = append(refused, now-before)
				before = now
			})
			if len(all) != 2 || len(refused) != 2 {
				t.Fatalf("%d sessions", len(all))
			}

			for i, one := range all {
				t.Logf("%+v, %v times 403", one, refused[i])
				if !one.connected || one.alone != (i == 1) || (one.others > 0) == one.alone ||
					one.reflexive == one.alone {
					t.Errorf("session %d: %+v", i, one)
				}
			}

			// the last refusal of the first session may arrive during the second
			if asks := client != "pion"; (refused[0] > refused[1]) != asks || !asks && refused[1] > 0 {
				t.Errorf("%v times 403 with all candidates, %v with relayed ones alone", refused[0], refused[1])
			}
		})
	}
}

// BenchmarkRefusedPeers measures how long sessions take to connect through the relay, alternating between offers with
// host and reflexive candidates, which the relay refuses, and offers with only the relayed candidate.
func BenchmarkRefusedPeers(b *testing.B) {
	const each = 9
	for _, client := range []string{"chromium", "firefox", "pion"} {
		b.Run(client, func(b *testing.B) {
			for range b.N {
				s := newRefusing(b)
				before := s.refusals(b)
				times := map[bool][]float64{}
				for _, one := range s.clients()[client](b, each, func() {}) {
					if !one.connected {
						b.Fatalf("%+v", one)
					}
					times[one.alone] = append(times[one.alone], one.at)
				}

				b.Logf("with all: %.0f; alone: %.0f", times[false], times[true])
				b.ReportMetric(percentile(times[false], 50), "p50-all-ms")
				b.ReportMetric(percentile(times[true], 50), "p50-alone-ms")
				b.ReportMetric((s.refusals(b)-before)/each, "403/session")
			}
		})
	}
}
