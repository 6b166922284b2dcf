//go:build linux

package turnbench

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/turnload"
)

// plan says how much is measured.
type plan struct {
	Allocations []int
	Bursts      []int
	Runs        int // of each, in turn
	Warm        time.Duration
	Measured    time.Duration
	Rates       []int // packets/s at which latency is measured
	LatencyRun  time.Duration
	Idle        int      // allocations for measuring memory and allocations per second
	Streams     []demand // besides UDP
}

// way is the transports of a session's two clients.
type way struct {
	name string
	ends [2]turnload.Transport
}

var (
	byUDP    = way{name: "UDP"}
	byTCP    = way{"TCP", [2]turnload.Transport{turnload.TCP, turnload.TCP}}
	byTLS    = way{"TLS", [2]turnload.Transport{turnload.TLS, turnload.TLS}}
	udpToTCP = way{"UDP and TCP", [2]turnload.Transport{turnload.UDP, turnload.TCP}}
	udpToTLS = way{"UDP and TLS", [2]turnload.Transport{turnload.UDP, turnload.TLS}}
)

func (w way) secure() bool { return w.ends[1] == turnload.TLS }

// A demand is a number of clients that use one way, and what they send.
type demand struct {
	way         way
	allocations int
	byChannels  bool
	bursts      []int
}

// point is one kind of load.
type point struct {
	Ground      string
	Allocations int
	Channels    bool // else indications
	Burst       int
	spread      bool // the server has two cores
	way         way
}

func (at point) udp() bool { return at.way == byUDP }

// relayed is the result of one run of a point on one server.
type relayed struct {
	PerCPU float64 // packets delivered per second of the server's processor time
	PerSec float64 // packets delivered per second
	Loss   float64 // share of those sent
}

// measureRelayed measures all servers at all bursts of a demand, in turn.
func (r *result) measureRelayed(t testing.TB, g ground, c cores, p plan, l demand, spread bool) {
	t.Helper()
	on := c.one
	if spread {
		on = c.two
	}

	var servers []*server
	for i, b := range r.brandsOn(g) {
		if b.xdp && l.way != byUDP { // XDP is for UDP
			continue
		}
		s := g.start(t, b, on, i, l.allocations, l.way)
		defer s.stop()

		s.connect(t, l.byChannels)
		servers = append(servers, s)
		if s.protection != "" {
			r.protection[b.name] = s.protection
		}
	}

	for range p.Runs {
		for _, burst := range l.bursts {
			for _, s := range servers {
				at := point{g.name, l.allocations, l.byChannels, burst, spread, l.way}
				r.addRelayed(at, s.brand.name, s.saturate(t, p, burst))
			}
		}
	}
}

// saturate does one run.
func (s *server) saturate(t testing.TB, p plan, burst int) relayed {
	t.Helper()
	var cpu []time.Duration
	var clock []time.Time
	delivered, all, err := s.load.Saturate(burst, p.Warm, p.Measured, func() error {
		used, err := s.meter.cpu()
		cpu, clock = append(cpu, used), append(clock, time.Now())
		return err
	})

	switch {
	case err != nil:
		t.Fatalf("%s: %v", s.brand.name, err)
	case delivered == 0:
		t.Fatalf("%s relays nothing: %+v", s.brand.name, all)
	case all.Astray > 0:
		t.Errorf("%s: %d packets went astray", s.brand.name, all.Astray)
	}

	return relayed{
		PerCPU: float64(delivered) / (cpu[1] - cpu[0]).Seconds(),
		PerSec: float64(delivered) / clock[1].Sub(clock[0]).Seconds(),
		Loss:   1 - float64(all.Delivered)/float64(all.Sent),
	}
}
