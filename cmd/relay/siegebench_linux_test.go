package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// beside holds what was measured, without a stranger or with one.
type beside struct {
	took      map[string][]time.Duration // by the household's tasks
	processor time.Duration              // time that the relay used
	passed    time.Duration
}

// BenchmarkBesideAStranger measures what a stranger at its worst costs a household: how much longer its tasks take, as
// a ratio of medians, and how much more of a core the relay spends. Everything runs on one machine, so the household is
// measured while the stranger attacks another relay there, and while it attacks the household's own. The two alternate
// every second, so that other work on the machine affects both alike.
func BenchmarkBesideAStranger(b *testing.B) {
	natlab.Need(b)
	const turns, rounds = 12, 4
	s := besieged(b)
	s.relayAt(otherPorts, b.TempDir())
	house := s.household()
	defer house.leave()

	for _, attack := range attacks {
		for _, port := range attack.ports {
			for _, from := range []string{oneAddress, oneNetwork} {
				b.Run(fmt.Sprintf("%s/%d/%s", attack.name, port, from[:5]), func(b *testing.B) {
					s.t, house.t = b, b
					var of [2]beside
					var strangers [2]*program
					for i, at := range []int{otherPorts + port, port} {
						of[i].took = make(map[string][]time.Duration)
						strangers[i] = s.stranger(attack.name, at, from, siegeFiles/8, attack.rate)
					}

					for range turns {
						for i, stranger := range strangers {
							stranger.come()
							s.measure(&of[i], house, rounds)
							stranger.goAway()
						}
					}

					for _, stranger := range strangers {
						stranger.leave()
					}
					report(b, &of[0], &of[1])
				})
			}
		}
	}
	house.t = b
}

// measure makes a household do some rounds, at a pace within its own limits.
func (s *siege) measure(into *beside, house *program, rounds int) {
	house.round() // fills the caches
	pace := time.NewTicker(time.Second / 5)
	defer pace.Stop()
	began, spent := time.Now(), s.processor()
	for range rounds {
		for what, t := range house.round() {
			into.took[what] = append(into.took[what], t)
		}
		<-pace.C
	}

	into.passed += time.Since(began)
	into.processor += s.processor() - spent
}

// processor returns the processor time that the relay has used (proc_pid_stat(5), fields 14 and 15).
func (s *siege) processor() time.Duration {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	const tick = time.Second / 100 // the unit of these fields, which does not depend on the kernel's tick rate
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		s.t.Fatal(err1, err2)
	}
	return time.Duration(user+system) * tick
}

// report reports the ratio of the medians of all tasks together and the worst ratio of a single task, and the share of
// a core that the relay spends beyond what the household costs it.
func report(b *testing.B, alone, with *beside) {
	median := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)/2]
	}
	var sum [2]time.Duration
	worst, of := 0.0, ""

	for what := range alone.took {
		before, after := median(alone.took[what]), median(with.took[what])
		sum[0], sum[1] = sum[0]+before, sum[1]+after
		if ratio := float64(after) / float64(before); ratio > worst {
			worst, of = ratio, what
		}
	}

	part := func(m *beside) float64 { return float64(m.processor) / float64(m.passed) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(sum[1])/float64(sum[0]), "slower")
	b.ReportMetric(worst, "worst")
	b.ReportMetric(part(with)-part(alone), "cores")
	b.Logf("worst: %s", of)
}
