//go:build linux

package turnbench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const intro = `# The relay beside other TURN servers

Written by %s. Measured on a machine with %s; %s. Such machines are noisy: read the ratios.

![packets per second of the server's processor time](turn-benchmark.svg)

## What is measured

One load generator (internal/turnload) asks every server for the same: an allocation for each client with long-term credentials, a channel or a permission
for its peer, then packets of 1,200 bytes from each client to the other of its session, client to relay to client, both ends relayed, both
ways alike. Each client has an address of its own. A burst is so many packets of one flow at once. A packet counts where it comes out at the client that it was for, once.
The generator keeps at most 192 packets under way, and 48 of a flow, so that a server is always at work and loses nothing for want of a buffer.

The servers run by turns, %d runs each, all of them up all the time; figures are medians. Ours, with XDP too, and pion are the same small program (turn/contestant) around turn.New and around
pion/turn, both without limits of bandwidth; coturn is at its defaults. *Loopback* is a namespace of its own, in which a burst crosses in one piece (GSO) and comes out in one for who asks for that (GRO). *veth*
is a cable between two namespaces without segmentation offload, like a wire: packets cross one by one, and each end receives in a kernel thread on its own side's core.
With XDP the server has a cable of its own, since a program that is attached costs all that passes.

A server has one core to itself, the generator another. Its processor time is its process', work of the network stack in its name with it, and that of the kernel threads that work for it: the one that receives at
its end of the cable, and its core's ksoftirqd. (A kernel that accounts for interrupts apart, with IRQ_TIME_ACCOUNTING, leaves part of a sender's work out of its
process' time; Debian's and this one do not.) On loopback handing a packet over costs the sender: so the server pays for what it sends and the generator for what the server receives, with all servers alike.
`

// report is the result as a page of doc/.
func (r *result) report(command string) string {
	var b strings.Builder
	var versions []string
	for _, n := range r.brands {
		if n.version != "" {
			versions = append(versions, n.name+" "+n.version)
		}
	}
	fmt.Fprintf(&b, intro, command, r.cores.machine, strings.Join(versions, ", "), r.plan.Runs)
	r.reportAims(&b)
	for _, ground := range []string{"loopback", "veth"} {
		fmt.Fprintf(&b, "\n## Packets relayed over %s\n\nThousands of packets per second of the server's processor time, the server on one core.\n\n", ground)
		r.reportRelayed(&b, func(at point) bool { return at.udp() && at.Ground == ground && !at.spread })
	}
	r.reportStreams(&b)
	shared := "which the generator does not use"
	if len(r.cores.two) > 1 && r.cores.two[0] == r.cores.load[0] {
		shared = "one of which it shares with the generator, as there are no more"
	}
	fmt.Fprintf(&b, "\n## On two cores\n\nThe same with the server on two cores, %s.\n\n", shared)
	r.reportRelayed(&b, func(at point) bool { return at.spread })
	r.reportPaced(&b)
	r.reportIdle(&b)
	return b.String()
}

// row writes one row of a table.
func row(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

func head(b *strings.Builder, cells ...string) {
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
		cells = append([]string{"clients by"}, cells...)
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

// reportStreams is about clients that come by TCP and TLS.
func (r *result) reportStreams(b *strings.Builder) {
	is := func(at point) bool { return !at.udp() }
	if !slices.ContainsFunc(r.order, is) {
		return
	}
	fmt.Fprintf(b, streamsIntro, r.protected())
	r.reportRelayed(b, is)
}

const streamsIntro = `
## Packets relayed between clients that come by TCP and by TLS

![packets per second of the server's processor time](turn-benchmark-streams.svg)

The same figures, the server on one core, where both ends of a session come by TCP or by TLS, or one end by UDP and the other by one of them. A burst is one write of the client's, with TLS a
record for each packet, as clients have it who write each by itself. ChannelData is padded to 4 bytes (RFC 8656, section 12.5), which for 1,200 bytes is nothing. The window is UDP's: a server that
kept more back than that would stand still, and what it drops is counted as lost. TLS is what clients ask every server for: %s (coturn 4.6 has no newer version), with a certificate of ECDSA on P-256; the shaking of hands
is not within what is measured. TCP's congestion control is Reno's on both grounds. XDP is for UDP alone.

`

// protected says what clients by TLS agreed on with each brand.
func (r *result) protected() string {
	var said []string
	for _, b := range r.brands {
		if p := r.protection[b.name]; p != "" && !slices.Contains(said, p) {
			said = append(said, p)
		}
	}
	return strings.Join(said, " or ")
}

// by is how the packets of a point are carried.
func (at point) by() string {
	if at.Channels {
		return "ChannelData"
	}
	return "indications"
}

// relayedCells is the figures of one row: by brand, then the ratios, then what is alike for all.
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

func (r *result) reportPaced(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Latency\n\nFrom before a burst is sent until the kernel has a packet of it back, at a fixed rate, bursts of 8 between 16 allocations, %v each. What the server adds is the difference to *%s*, where the clients send to each other.\n\n", r.plan.Pace, direct)
	head(b, "over", "packets/s", "server", "p50", "p99", "p999", "added p50", "added p99", "added p999", "lost")
	for _, at := range r.paces {
		names := []string{direct}
		for _, n := range r.brands {
			names = append(names, n.name)
		}
		for _, name := range names {
			runs := r.paced[at][name]
			if len(runs) == 0 {
				continue
			}
			cells := []string{at.Ground, thousands(at.Rate), name}
			var added []string
			for _, of := range percentiles {
				took := r.latency(at, name, of)
				cells = append(cells, micros(took))
				base := "–"
				if r.paced[at][direct] != nil && name != direct {
					base = micros(took - r.latency(at, direct, of))
				}
				added = append(added, base)
			}
			row(b, append(append(cells, added...), share(median(runs, func(x paced) float64 { return x.Loss })))...)
		}
	}
}

var percentiles = []func(paced) time.Duration{
	func(x paced) time.Duration { return x.P50 },
	func(x paced) time.Duration { return x.P99 },
	func(x paced) time.Duration { return x.P999 },
}

// latency is the median of a percentile of all runs.
func (r *result) latency(at pace, brand string, of func(paced) time.Duration) time.Duration {
	return time.Duration(median(r.paced[at][brand], func(x paced) float64 { return float64(of(x)) }))
}

func (r *result) reportIdle(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Allocations\n\n%s allocations made one after the other on a server that has just started, 32 at a time, each asked first without credentials; then left alone. The heap, stacks with it, is what lives after a collection.\n\n", thousands(r.plan.Idle))
	head(b, "server", "allocations per second of processor time", "resident bytes of each", "heap bytes of each", "descriptors of each")
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
