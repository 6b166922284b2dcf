package main

import (
	"fmt"
	"math"
	"strings"
)

const (
	plotWidth, panelHeight = 960, 230
	marginLeft, marginTop  = 70, 64
	marginRight, gap       = 230, 96
)

// line is one curve of a panel.
type line struct {
	name, colour string
	of           func(Tick) int
}

var lines = []line{
	{"strangers' pictures shown", "#c62828", func(t Tick) int { return t.Counts.Strangers + t.Counts.LiveStrangers }},
	{"arrived, not opened, not shown", "#b26a00", func(t Tick) int { return t.Counts.Rejected }},
	{"people whose own picture is back", "#1b7f3b", func(t Tick) int { return t.Counts.Back }},
}

// plot draws both runs over time, from a little before the restart, as an SVG with a background of its own.
func (r *pairOfResults) plot() []byte {
	var b strings.Builder
	height := marginTop + 2*panelHeight + gap + 50
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`font-family="system-ui, sans-serif" font-size="13" fill="#222">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, height)
	r.Sealed.panel(&b, "Peephole", marginTop)
	r.Unsealed.panel(&b, "The same without sealing", marginTop+panelHeight+gap)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">seconds since the restart</text>`+"\n</svg>\n",
		marginLeft+(plotWidth-marginLeft-marginRight)/2, height-12)

	return []byte(b.String())
}

// panel draws one run.
func (r *Result) panel(b *strings.Builder, title string, top int) {
	fault, end := r.fault()
	var most int
	var ticks []Tick
	for _, t := range r.Ticks {
		if t.At >= fault.From-10 {
			ticks = append(ticks, t)
			for _, l := range lines {
				most = max(most, l.of(t))
			}
		}
	}

	step := niceStep(float64(most))
	high := step * math.Ceil(float64(max(most, 1))/step)
	x := func(at float64) float64 {
		return marginLeft + (at-fault.From+10)/(end-fault.From+10)*(plotWidth-marginLeft-marginRight)
	}
	y := func(n float64) float64 { return float64(top+panelHeight) - n/high*panelHeight }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="16" font-weight="600">%s</text>`+"\n", marginLeft, top-30, title)

	for _, p := range r.Phases {
		if p.Name == mediaPhase {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#fff3e0"/>`+"\n", x(p.From), top,
				x(p.To)-x(p.From), panelHeight)
		}
	}

	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#fbe9e7"/>`+"\n", x(fault.From), top,
		x(fault.To)-x(fault.From), panelHeight)
	fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#8d3b2f">the cloud mixes up its lookups</text>`+"\n", x(fault.From)+6,
		top-8)
	for n := 0.0; n <= high; n += step {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, y(n), plotWidth-marginRight, marginLeft-8, y(n)+4, thousands(int(n)))
	}

	every := niceStep(end - fault.From)
	for s := 0.0; s <= end-fault.From; s += every {
		fmt.Fprintf(b, `<path d="M%.1f %dv5" stroke="#555"/><text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+
			"\n", x(fault.From+s), top+panelHeight, x(fault.From+s), top+panelHeight+19, s)
	}
	r.curves(b, ticks, x, y, top)
}

func (r *Result) curves(b *strings.Builder, ticks []Tick, x, y func(float64) float64, top int) {
	if len(ticks) == 0 {
		return
	}
	for i, l := range lines {
		first := 0 // curves count from the restart on
		var d strings.Builder
		for j, t := range ticks {
			if j == 0 {
				first = l.of(t)
			}
			fmt.Fprintf(&d, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[j == 0], x(t.At),
				y(float64(l.of(t)-first)))
		}

		last := l.of(ticks[len(ticks)-1]) - first
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2.2"/>`+"\n", d.String(), l.colour)
		at := top + 20 + i*44
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s"><tspan font-weight="600" font-size="17">%s</tspan>`+
			`<tspan x="%d" dy="16" font-size="11.5">%s</tspan></text>`+"\n",
			plotWidth-marginRight+14, at, l.colour, thousands(last), plotWidth-marginRight+14, l.name)
	}
}

// fault returns the phase in which the cloud confuses everything, and when the run ended.
func (r *Result) fault() (fault Phase, end float64) {
	for _, p := range r.Phases {
		if p.Name == faultPhase {
			fault = p
		}
		end = p.To
	}
	return fault, end
}

// niceStep cuts a range into three to eight steps of 1, 2 or 5 times a power of ten.
func niceStep(of float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(max(of, 1))))
	for _, f := range []float64{0.2, 0.5, 1} {
		if of/(step*f) <= 8 {
			return max(step*f, 1)
		}
	}
	return step
}
