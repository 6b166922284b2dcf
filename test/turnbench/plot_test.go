//go:build linux

package turnbench

import (
	"fmt"
	"math"
	"strings"
)

const (
	plotWidth, panelHeight  = 980, 240
	marginLeft, marginRight = 62, 20
	marginTop, gap          = 70, 84
)

var colours = []string{"#1b7f3b", "#7cb342", "#b26a00", "#1565c0", "#8e24aa", "#00838f"}

// plot draws packets of ChannelData per second of processor time as an SVG: a panel for each ground, and a group of
// bars for each load, of clients over UDP or of those over streams.
func (r *result) plot(streams bool) string {
	grounds := []string{"loopback", "veth"}
	height := marginTop + len(grounds)*(panelHeight+gap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`font-family="system-ui, sans-serif" font-size="13" fill="#222">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="16" font-weight="600">%s</text>`+"\n",
		marginLeft, "Thousands of packets relayed per second of the server's processor time")

	for i, n := range r.brands {
		x := marginLeft + i*160
		fmt.Fprintf(&b, `<rect x="%d" y="36" width="12" height="12" fill="%s"/><text x="%d" y="47">%s %s</text>`+"\n",
			x, colours[i], x+18, n.name, n.version)
	}

	for i, ground := range grounds {
		r.panel(&b, ground, streams, marginTop+i*(panelHeight+gap)+24)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *result) panel(b *strings.Builder, ground string, streams bool, top int) {
	var at []point
	highest := 1.0
	for _, p := range r.order {
		if p.Ground != ground || p.spread || !p.Channels || p.udp() == streams {
			continue
		}
		at = append(at, p)
		for _, n := range r.brands {
			highest = max(highest, r.perCPU(p, n.name)/1000)
		}
	}

	step := math.Pow(10, math.Floor(math.Log10(highest)))
	for highest/step < 4 {
		step /= 2
	}
	high := step * math.Ceil(highest/step)
	y := func(n float64) float64 { return float64(top+panelHeight) - n/high*panelHeight }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", marginLeft, top-8, ground)
	for n := 0.0; n <= high; n += step {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			marginLeft, y(n), plotWidth-marginRight, marginLeft-8, y(n)+4, n)
	}

	group := float64(plotWidth-marginLeft-marginRight) / float64(max(1, len(at)))
	bar := group * 0.8 / float64(len(r.brands))
	for i, p := range at {
		left := marginLeft + group*(float64(i)+0.1)
		for j, n := range r.brands {
			if r.relayed[p][n.name] == nil {
				continue
			}
			v := r.perCPU(p, n.name) / 1000
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s">`+
				`<title>%s, %s allocations, burst %d: %.0f</title></rect>`+"\n",
				left+float64(j)*bar, y(v), bar-1, float64(top+panelHeight)-y(v), colours[j], n.name,
				thousands(p.Allocations), p.Burst, v)
		}

		middle := left + group*0.4
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11.5">burst %d</text>`+"\n", middle,
			top+panelHeight+16, p.Burst)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11.5">%s alloc.</text>`+"\n", middle,
			top+panelHeight+31, thousands(p.Allocations))
		if !p.udp() {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="9">%s</text>`+"\n", middle,
				top+panelHeight+44, p.way.name)
		}
	}
}
