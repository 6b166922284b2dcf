//go:build linux

package turnbench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report returns the result as a page of doc/.
func (r *result) report(command string) string {
	var b strings.Builder
	var versions []string
	for _, n := range r.brands {
		if n.version != "" {
			versions = append(versions, n.name+" "+n.version)
		}
	}

	b.WriteString(reportTitle)
	prose(&b, reportSource, command, r.cores.machine, strings.Join(versions, ", "))
	b.WriteString(reportPlot)
	prose(&b, loadIntro)
	prose(&b, serversIntro, r.plan.Runs)
	prose(&b, processorIntro)
	r.reportAims(&b)
	for _, ground := range []string{"loopback", "veth"} {
		fmt.Fprintf(&b, "\n## Packets relayed over %s\n", ground)
		prose(&b, relayedIntro)
		r.reportRelayed(&b, func(at point) bool { return at.udp() && at.Ground == ground && !at.spread })
	}

	r.reportStreams(&b)
	shared := "The generator uses neither of them"
	if len(r.cores.two) > 1 && r.cores.two[0] == r.cores.load[0] {
		shared = "It shares one of them with the generator, because there are only two"
	}

	b.WriteString("\n## On two cores\n")
	prose(&b, coresIntro, shared)
	r.reportRelayed(&b, func(at point) bool { return at.spread })
	r.reportLatency(&b)
	r.reportIdle(&b)
	return b.String()
}

// row writes one row of a table.
func row(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// head writes a blank line and the head of a table.
func head(b *strings.Builder, cells ...string) {
	b.WriteByte('\n')
	row(b, cells...)
	fmt.Fprintf(b, "%s|\n", strings.Repeat("|---", len(cells)))
}

func (r *result) reportRelayed(b *strings.Builder, is func(point) bool) {
	var points []point
	for _, at := range r.order {
		if is(at) {
			points = append(points, at)
		}
	}

	shown := slices.DeleteFunc(slices.Clone(r.brands), func(n brand) bool {
		return !slices.ContainsFunc(points, func(at point) bool { return r.relayed[at][n.name] != nil })
	})
	cells := []string{"over", "allocations", "by", "burst"}
	streams := len(points) > 0 && !points[0].udp()
	if streams {
		cells = append([]string{"transport"}, cells...)
	}

	var ratios [][2]string
	for _, n := range shown {
		cells = append(cells, n.name)
		for _, own := range shown {
			if own.ours && !n.ours {
				ratios = append(ratios, [2]string{own.name, n.name})
			}
		}
	}

	for _, of := range ratios {
		cells = append(cells, of[0]+" to "+of[1])
	}
	head(b, append(cells, "packets/s of each", "lost")...)
	for _, at := range points {
		which := []string{at.Ground, thousands(at.Allocations), at.by(), fmt.Sprint(at.Burst)}
		if streams {
			which = append([]string{at.way.name}, which...)
		}
		row(b, append(which, r.relayedCells(at, shown, ratios)...)...)
	}
}

// reportStreams writes the part about clients over TCP and TLS.
func (r *result) reportStreams(b *strings.Builder) {
	is := func(at point) bool { return !at.udp() }
	if !slices.ContainsFunc(r.order, is) {
		return
	}
	b.WriteString(streamsHead)
	prose(b, streamsIntro, r.protected())
	r.reportRelayed(b, is)
}

// protected returns what clients over TLS agreed on with the brands.
func (r *result) protected() string {
	var said []string
	for _, b := range r.brands {
		if p := r.protection[b.name]; p != "" && !slices.Contains(said, p) {
			said = append(said, p)
		}
	}
	return strings.Join(said, " or ")
}

// by returns how the packets of a point are carried.
func (at point) by() string {
	if at.Channels {
		return "ChannelData"
	}
	return "indications"
}

// relayedCells returns the figures of one row: by brand, then the ratios, then the columns that cover all brands.
func (r *result) relayedCells(at point, brands []brand, ratios [][2]string) (cells []string) {
	var rates, lost []string
	for _, n := range brands {
		runs := r.relayed[at][n.name]
		if runs == nil {
			cells, rates, lost = append(cells, "–"), append(rates, "–"), append(lost, "–")
			continue
		}
		cells = append(cells, fmt.Sprintf("%.0f", r.perCPU(at, n.name)/1000))
		rates = append(rates, fmt.Sprintf("%.0fk", median(runs, func(x relayed) float64 { return x.PerSec })/1000))
		lost = append(lost, share(median(runs, func(x relayed) float64 { return x.Loss })))
	}

	for _, of := range ratios {
		if r.relayed[at][of[0]] == nil || r.relayed[at][of[1]] == nil {
			cells = append(cells, "–")
			continue
		}
		cells = append(cells, fmt.Sprintf("%.2f", r.perCPU(at, of[0])/r.perCPU(at, of[1])))
	}

	return append(cells, strings.Join(rates, ", "), strings.Join(lost, ", "))
}

func (r *result) perCPU(at point, brand string) float64 {
	return median(r.relayed[at][brand], func(x relayed) float64 { return x.PerCPU })
}

func (r *result) reportLatency(b *strings.Builder) {
	b.WriteString("\n## Latency\n")
	prose(b, latencyIntro, r.plan.LatencyRun, direct)
	head(b, "over", "packets/s", "server", "p50", "p99", "p999", "added p50", "added p99", "added p999", "lost")
	for _, at := range r.latencyOrder {
		names := []string{direct}
		for _, n := range r.brands {
			names = append(names, n.name)
		}
		for _, name := range names {
			runs := r.latencies[at][name]
			if len(runs) == 0 {
				continue
			}
			cells := []string{at.Ground, thousands(at.Rate), name}
			var added []string

			for _, of := range percentiles {
				took := r.latency(at, name, of)
				cells = append(cells, micros(took))
				base := "–"
				if r.latencies[at][direct] != nil && name != direct {
					base = micros(took - r.latency(at, direct, of))
				}
				added = append(added, base)
			}
			row(b, append(append(cells, added...), share(median(runs, func(x latencies) float64 { return x.Loss })))...)
		}
	}
}

var percentiles = []func(latencies) time.Duration{
	func(x latencies) time.Duration { return x.P50 },
	func(x latencies) time.Duration { return x.P99 },
	func(x latencies) time.Duration { return x.P999 },
}

// latency returns the median of a percentile over all runs.
func (r *result) latency(at latencyPoint, brand string, of func(latencies) time.Duration) time.Duration {
	return time.Duration(median(r.latencies[at][brand], func(x latencies) float64 { return float64(of(x)) }))
}

func (r *result) reportIdle(b *strings.Builder) {
	b.WriteString("\n## Allocations\n")
	prose(b, idleIntro, thousands(r.plan.Idle))
	head(b, "server", "allocations per second of processor time", "resident bytes of each", "heap bytes of each",
		"descriptors of each")
	for _, n := range r.brands {
		if r.idle[n.name] == nil {
			continue
		}
		x := r.idleOf(n.name)
		heap := "–"
		if n.heap {
			heap = thousands(int(x.Heap))
		}
		row(b, n.name, thousands(int(x.PerCPU)), thousands(int(x.Resident)), heap, fmt.Sprintf("%.2f", x.Descriptors))
	}
}

func (r *result) idleOf(brand string) idle {
	of := func(f func(idle) float64) float64 { return median(r.idle[brand], f) }
	return idle{
		PerCPU:      of(func(x idle) float64 { return x.PerCPU }),
		Resident:    of(func(x idle) float64 { return x.Resident }),
		Heap:        of(func(x idle) float64 { return x.Heap }),
		Descriptors: of(func(x idle) float64 { return x.Descriptors }),
	}
}

// thousands writes 12345 as 12,345.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1000) }

func share(x float64) string {
	if x == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2g %%", 100*x)
}
