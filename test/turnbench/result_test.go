//go:build linux

package turnbench

import (
	"os"
	"slices"
	"testing"
)

// A result holds all runs, by what was measured and by brand.
type result struct {
	brands       []brand
	plan         plan
	cores        cores
	relayed      map[point]map[string][]relayed
	latencies    map[latencyPoint]map[string][]latencies
	idle         map[string][]idle
	order        []point
	latencyOrder []latencyPoint

	protection map[string]string // by brand: what clients over TLS agreed on with it
}

// brandsOn returns the brands that can run on a ground.
func (r *result) brandsOn(g ground) (all []brand) {
	for _, b := range r.brands {
		if !b.xdp || g.forXDP != nil {
			all = append(all, b)
		}
	}
	return all
}

func (r *result) addRelayed(at point, brand string, one relayed) {
	if r.relayed[at] == nil {
		r.relayed[at] = make(map[string][]relayed)
		r.order = append(r.order, at)
	}
	r.relayed[at][brand] = append(r.relayed[at][brand], one)
}

func (r *result) addLatencies(at latencyPoint, brand string, one latencies) {
	if r.latencies[at] == nil {
		r.latencies[at] = make(map[string][]latencies)
		r.latencyOrder = append(r.latencyOrder, at)
	}
	r.latencies[at][brand] = append(r.latencies[at][brand], one)
}

// begin prepares to measure.
func begin(t testing.TB, p plan) *result {
	t.Helper()
	c := divideCores(t)
	r := &result{
		brands:     brands(t),
		plan:       p,
		cores:      c,
		relayed:    make(map[point]map[string][]relayed),
		latencies:  make(map[latencyPoint]map[string][]latencies),
		idle:       make(map[string][]idle),
		protection: make(map[string]string),
	}

	build(t) // on all cores
	pin(t, os.Getpid(), c.load)
	return r
}

// measureStreams measures the part of the plan that is about clients over TCP and TLS.
func (r *result) measureStreams(t testing.TB, g ground) {
	t.Helper()
	for _, l := range r.plan.Streams {
		r.measureRelayed(t, g, r.cores, r.plan, l, false)
		t.Logf("%s, by %s, %d allocations, channels %v: done", g.name, l.way.name, l.allocations, l.byChannels)
	}
}

// measure carries out a plan.
func measure(t testing.TB, p plan) *result {
	t.Helper()
	r := begin(t, p)
	c := r.cores
	for _, lay := range []func(testing.TB, cores) ground{loopback, veth} {
		g := lay(t, c)
		for _, allocations := range p.Allocations {
			for _, byChannels := range []bool{true, false} {
				r.measureRelayed(t, g, c, p, demand{byUDP, allocations, byChannels, p.Bursts}, false)
				t.Logf("%s, %d allocations, channels %v: done", g.name, allocations, byChannels)
			}
		}

		r.measureRelayed(t, g, c, p, demand{byUDP, min(16, slices.Max(p.Allocations)), true, p.Bursts}, true)
		r.measureStreams(t, g)
		r.measureLatency(t, g, c.one, p)
		if g.name == "loopback" {
			r.measureIdle(t, g, c.one, p)
		}
	}

	return r
}

// median returns the median of one figure over all runs.
func median[T any](runs []T, of func(T) float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	var all []float64
	for _, one := range runs {
		all = append(all, of(one))
	}

	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}
