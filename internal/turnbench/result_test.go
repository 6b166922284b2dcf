//go:build linux

package turnbench

import (
	"os"
	"slices"
	"testing"
)

// A result is all runs, by what was measured and by brand.
type result struct {
	brands  []brand
	plan    plan
	cores   cores
	relayed map[point]map[string][]relayed
	paced   map[pace]map[string][]paced
	idle    map[string][]idle
	order   []point
	paces   []pace

	protection map[string]string // by brand: what clients by TLS agreed on with it
}

// at is the brands that can run on a ground.
func (r *result) at(g ground) (all []brand) {
	for _, b := range r.brands {
		if !b.express || g.express != nil {
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

func (r *result) addPaced(at pace, brand string, one paced) {
	if r.paced[at] == nil {
		r.paced[at] = make(map[string][]paced)
		r.paces = append(r.paces, at)
	}
	r.paced[at][brand] = append(r.paced[at][brand], one)
}

// begin makes ready to measure.
func begin(t testing.TB, p plan) *result {
	t.Helper()
	c := divide(t)
	r := &result{
		brands: brands(t), plan: p, cores: c, relayed: make(map[point]map[string][]relayed),
		paced: make(map[pace]map[string][]paced), idle: make(map[string][]idle), protection: make(map[string]string),
	}
	build(t) // on all cores
	pin(t, os.Getpid(), c.load)
	return r
}

// streaming measures what the plan says of clients that come by streams.
func (r *result) streaming(t testing.TB, g ground) {
	t.Helper()
	for _, l := range r.plan.Streams {
		r.relaying(t, g, r.cores, r.plan, l, false)
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
				r.relaying(t, g, c, p, demand{byUDP, allocations, byChannels, p.Bursts}, false)
				t.Logf("%s, %d allocations, channels %v: done", g.name, allocations, byChannels)
			}
		}
		r.relaying(t, g, c, p, demand{byUDP, min(16, slices.Max(p.Allocations)), true, p.Bursts}, true)
		r.streaming(t, g)
		r.pacing(t, g, c.one, p)
		if g.name == "loopback" {
			r.idling(t, g, c.one, p)
		}
	}
	return r
}

// median of one figure of all runs.
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
