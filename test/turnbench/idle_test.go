//go:build linux

package turnbench

import (
	"testing"
	"time"
)

// idle is what idle allocations cost a server.
type idle struct {
	PerCPU      float64 // allocations made per second of processor time
	Resident    float64 // resident bytes of each allocation
	Heap        float64 // bytes of each on heap and stacks; 0: not known
	Descriptors float64 // of each
}

// measureIdle measures these costs for all servers in turn, each started anew.
func (r *result) measureIdle(t testing.TB, g ground, on []int, p plan) {
	t.Helper()
	for range p.Runs {
		for _, b := range r.brandsOn(g) {
			s := g.start(t, b, on, 0, p.Idle, byUDP)
			r.idle[b.name] = append(r.idle[b.name], s.idle(t, p.Idle))
			s.stop()
		}
	}
}

// state is what a process holds now.
type state struct{ resident, heap, files, goroutines int }

func (s *server) state(t testing.TB) (now state) {
	t.Helper()
	var err error
	if s.brand.heap { // asking for the heap collects garbage first
		if now.heap, now.goroutines, err = s.heap(); err != nil {
			t.Fatalf("%s: %v", s.brand.name, err)
		}
	}

	if now.resident, err = resident(s.cmd.Process.Pid); err == nil {
		now.files, err = descriptors(s.cmd.Process.Pid)
	}
	if err != nil {
		t.Fatalf("%s: %v", s.brand.name, err)
	}
	return now
}

// rest waits until the server has closed what it was still closing: its descriptors stay the same for a while.
func (s *server) rest(t testing.TB) {
	t.Helper()
	const looks, between = 10, 20 * time.Millisecond
	for same, last := 0, -1; same < looks; same++ {
		now, err := descriptors(s.cmd.Process.Pid)
		if err != nil {
			t.Fatalf("%s: %v", s.brand.name, err)
		}
		if now != last {
			same, last = 0, now
		}
		time.Sleep(between)
	}
}

func (s *server) idle(t testing.TB, allocations int) idle {
	t.Helper()
	s.rest(t)
	before := s.state(t)
	begin, err := s.meter.cpu()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load.Allocate(); err != nil {
		t.Fatalf("%s: %v", s.brand.name, err)
	}

	end, err := s.meter.cpu()
	if err != nil {
		t.Fatal(err)
	}
	after := s.state(t)
	each := func(after, before int) float64 { return float64(after-before) / float64(allocations) }
	return idle{
		PerCPU:      float64(allocations) / (end - begin).Seconds(),
		Resident:    each(after.resident, before.resident),
		Heap:        each(after.heap, before.heap),
		Descriptors: each(after.files, before.files),
	}
}
