//go:build linux

package turnbench

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/turnload"
)

// latencies are those of one run at a fixed rate.
type latencies struct {
	P50, P99, P999 time.Duration
	Loss           float64
}

// measureLatency measures how long packets take through all servers at fixed rates, in turn: bursts of 8 between 16
// allocations.
func (r *result) measureLatency(t testing.TB, g ground, on []int, p plan) {
	t.Helper()
	const allocations, burst = 16, 8
	var servers []*server
	for i, b := range r.brandsOn(g) {
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
				traffic, late, err := s.load.SendAtRate(burst, rate, p.LatencyRun)
				if err != nil || traffic.Delivered == 0 || traffic.Astray > 0 {
					t.Fatalf("%s at %d packets/s: %+v, %v", s.brand.name, rate, traffic, err)
				}
				slices.Sort(late)
				at := func(share float64) time.Duration { return late[int(share*float64(len(late)-1))] }
				r.addLatencies(latencyPoint{g.name, rate}, s.brand.name, latencies{
					P50: at(0.5), P99: at(0.99), P999: at(0.999),
					Loss: 1 - float64(traffic.Delivered)/float64(traffic.Sent),
				})
			}
		}
	}
}

// latencyPoint is one rate on one ground.
type latencyPoint struct {
	Ground string
	Rate   int
}

// direct is the name for figures without a server.
const direct = "no server"

// nobody returns a load without a server: its clients send to each other.
func (g ground) nobody(t testing.TB, clients int) *server {
	t.Helper()
	s := &server{brand: brand{name: direct}}
	err := g.load.Do(func() (err error) {
		s.load, err = turnload.Open(turnload.Config{
			Server:  netip.AddrPortFrom(g.server.Addr, 9),
			Clients: clients,
			First:   g.first,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.load.Close)

	s.load.BypassServer()
	return s
}
