//go:build linux

package turnbench

import (
	"fmt"
	"math"
	"strings"
)

// An aim is a ratio of ours to another brand that should be reached at every point that it covers.
type aim struct {
	what    string
	own     string
	brand   string
	minimum float64
	at      func(point) bool
}

var aims = []aim{
	{"loopback, burst 8 and 16, to coturn", "ours", "coturn", 5, func(at point) bool {
		return at.udp() && at.Ground == "loopback" && at.Burst > 1
	}},
	{"loopback, burst 8 and 16, to pion", "ours", "pion", 7, func(at point) bool {
		return at.udp() && at.Ground == "loopback" && at.Burst > 1
	}},
	{"veth, burst 8 and 16, to coturn", "ours", "coturn", 4, func(at point) bool {
		return at.udp() && at.Ground == "veth" && at.Burst > 1
	}},
	{"burst 1, to coturn", "ours", "coturn", 2.5, func(at point) bool { return at.udp() && at.Burst == 1 }},
	{"veth with XDP, ChannelData, to coturn", "ours with XDP", "coturn", 6, func(at point) bool {
		return at.udp() && at.Ground == "veth" && at.Channels
	}},
	{"TCP at one end or both, ChannelData and indications, to coturn", "ours", "coturn", 1, func(at point) bool {
		return at.way == byTCP || at.way == udpToTCP
	}},
	{"TLS at one end or both, ChannelData and indications, to coturn", "ours", "coturn", 1, func(at point) bool {
		return at.way == byTLS || at.way == udpToTLS
	}},
}

// reportAims writes each aim beside what was reached. An aim is met only if it is met at the worst point.
func (r *result) reportAims(b *strings.Builder) {
	b.WriteString("\n## Aims\n")
	prose(b, aimsIntro)
	head(b, "aim", "at least", "reached: worst", "best", "met")
	for _, a := range aims {
		worst, best := math.Inf(1), 0.0
		for _, at := range r.order {
			if at.spread || !a.at(at) || r.relayed[at][a.own] == nil || r.relayed[at][a.brand] == nil {
				continue
			}
			ratio := r.perCPU(at, a.own) / r.perCPU(at, a.brand)
			worst, best = min(worst, ratio), max(best, ratio)
		}

		if best > 0 {
			row(b, a.what, times(a.minimum), fmt.Sprintf("%.2f", worst), fmt.Sprintf("%.2f", best),
				yes(worst >= a.minimum))
		}
	}

	p99 := percentiles[1]
	for _, at := range r.latencyOrder {
		if r.latencies[at]["coturn"] == nil {
			continue
		}
		own, other := r.latency(at, r.brands[0].name, p99), r.latency(at, "coturn", p99)
		row(b, fmt.Sprintf("%s, p99 latency at %s packets/s, to coturn's", at.Ground, thousands(at.Rate)),
			"no more than "+micros(other), micros(own), micros(own), yes(own <= other))
	}

	if len(r.idle) == 0 {
		return
	}
	x := r.idleOf(r.brands[0].name)
	row(b, "user memory of an idle allocation", "at most 2,048 bytes", thousands(int(x.Heap)), thousands(int(x.Heap)),
		yes(x.Heap <= 2048))
	row(b, "descriptors of an idle allocation", "0", fmt.Sprintf("%.2f", x.Descriptors),
		fmt.Sprintf("%.2f", x.Descriptors), yes(x.Descriptors < 0.01))
	row(b, "allocations per second of processor time", "10,000", thousands(int(x.PerCPU)), thousands(int(x.PerCPU)),
		yes(x.PerCPU >= 10000))
}

func times(n float64) string {
	if n == 1 {
		return "its rate"
	}
	return fmt.Sprintf("%g times", n)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
