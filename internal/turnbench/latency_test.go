//go:build linux

package turnbench

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/turnload"
)

// paced is one run at a fixed rate.
type paced struct {
	P50, P99, P999 time.Duration
	Loss           float64
}

// pacing measures how long packets take through all servers at fixed rates, by turns: bursts of 8 between 16 allocations.
func (r *result) pacing(t testing.TB, g ground, on []int, p plan) {
	t.Helper()
	const allocations, burst = 16, 8
	var servers []*server
	for i, b := range r.at(g) {
		s := g.start(t, b, on, i, allocations, byUDP)
		defer s.stop()
		s.connect(t, true)
		servers = append(servers, s)
	}
	if g.server == g.load {
		servers = append(servers, g.nobody(t, allocations))
	}
	for range p.Runs {
		for _, rate := range p.Rates {
			for _, s := range servers {
				traffic, late, err := s.load.Pace(burst, rate, p.Pace)
				if err != nil || traffic.Delivered == 0 || traffic.Astray > 0 {
					t.Fatalf("%s at %d packets/s: %+v, %v", s.brand.name, rate, traffic, err)
				}
				slices.Sort(late)
				at := func(share float64) time.Duration { return late[int(share*float64(len(late)-1))] }
				r.addPaced(pace{g.name, rate}, s.brand.name, paced{
					P50: at(0.5), P99: at(0.99), P999: at(0.999),
					Loss: 1 - float64(traffic.Delivered)/float64(traffic.Sent),
				})
			}
		}
	}
}

// pace is one rate on one ground.
type pace struct {
	Ground string
	Rate   int
}

// direct is the name under which figures without any server stand.
const direct = "no server"

// nobody is no server: the load's clients send to each other.
func (g ground) nobody(t testing.TB, clients int) *server {
	t.Helper()
	s := &server{brand: brand{name: direct}}
	err := g.load.Do(func() (err error) {
		s.load, err = turnload.Open(turnload.Config{Server: netip.AddrPortFrom(g.server.Addr, 9), Clients: clients, First: g.first})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.load.Close)
	s.load.Direct()
	return s
}
