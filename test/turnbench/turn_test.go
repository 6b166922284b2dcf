//go:build linux

package turnbench

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// full is what make bench-turn measures: about fourteen minutes.
var full = plan{
	Allocations: []int{2, 16, 400, 10000},
	Bursts:      []int{1, 8, 16},
	Runs:        5,
	Warm:        50 * time.Millisecond,
	Measured:    300 * time.Millisecond,
	Rates:       []int{20000, 100000},
	LatencyRun:  time.Second,
	Idle:        10000,
	Streams:     append(demands([]int{1, 8, 16}, byTCP, byTLS, udpToTCP, udpToTLS), extremes(byTCP, byTLS)...),
}

// demands returns demands of 16 allocations by ChannelData.
func demands(bursts []int, ways ...way) (all []demand) {
	for _, w := range ways {
		all = append(all, demand{w, 16, true, bursts})
	}
	return all
}

// extremes returns demands of few allocations, of many, and of indications, in bursts of 8.
func extremes(ways ...way) (all []demand) {
	for _, w := range ways {
		all = append(all, demand{w, 2, true, []int{8}}, demand{w, 400, true, []int{8}}, demand{w, 16, false, []int{8}})
	}
	return all
}

// small is enough to see that everything works.
var small = plan{
	Allocations: []int{2, 40},
	Bursts:      []int{1, 8},
	Runs:        1,
	Warm:        10 * time.Millisecond,
	Measured:    50 * time.Millisecond,
	Rates:       []int{1000},
	LatencyRun:  100 * time.Millisecond,
	Idle:        100,
	Streams:     demands([]int{8}, byTCP, byTLS, udpToTCP, udpToTLS),
}

// TestEveryFigureIsMeasuredAndReported: every server gets every kind of figure, in the page and in the plot. The
// figures themselves are not judged.
func TestEveryFigureIsMeasuredAndReported(t *testing.T) {
	r := measure(t, small)
	page, plot := r.report("a test"), r.plot(false)+r.plot(true)
	t.Log("\n" + page)
	for _, want := range []string{
		"## Packets relayed over loopback",
		"## Packets relayed over veth",
		"| 40 | indications | 8 |",
		"| loopback | 1,000 | no server |",
		"| veth | 1,000 | coturn |",
		"| veth | 1,000 | ours with XDP |",
		"| TCP | loopback | 16 | ChannelData | 8 |",
		"| UDP and TLS | veth | 16 | ChannelData | 8 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}

	for line := range strings.Lines(page) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > proseWidth && line[0] != '|' {
			t.Errorf("a line of %d columns in the page: %s", n, line)
		}
	}

	if all := page + plot; strings.Contains(all, "NaN") || strings.Contains(all, "Inf") {
		t.Error("the page or the plot has a figure that is not a number")
	}

	// points are allocations times bursts, streams the ways. XDP has one ground, and only UDP; the others have two.
	const points, streams = 2 * 2, 4
	if n, want := strings.Count(plot, "<title>"), points*(2*len(r.brands)-1)+2*streams*(len(r.brands)-1); n != want {
		t.Errorf("%d bars in the plot, want %d", n, want)
	}

	for _, b := range r.brands {
		// All have equal protection, so that their figures can be compared.
		if p := r.protection[b.name]; !b.xdp && p != "TLS 1.2 with TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" {
			t.Errorf("%s: protection %q", b.name, p)
		}
		for at, runs := range r.relayed {
			if b.xdp && (at.Ground == "loopback" || !at.udp()) {
				continue
			}
			x := runs[b.name]
			measured := len(x) == 1 && x[0].PerCPU > 0 && x[0].PerSec > 0
			if !measured || x[0].Loss < 0 || x[0].Loss > 1 {
				t.Errorf("%s, %+v: %+v", b.name, at, x)
			}
		}

		if x := r.idle[b.name]; !b.xdp && (len(x) != 1 || x[0].PerCPU <= 0 || x[0].Descriptors < 0) {
			t.Errorf("%s, idle: %+v", b.name, x)
		}
	}

	if x := r.idle["coturn"]; len(x) == 1 && x[0].Descriptors != 1 {
		t.Errorf("coturn has %v descriptors an allocation, want 1", x[0].Descriptors)
	}
}

// BenchmarkTURN is make bench-turn. If BENCH_TURN is the path of a page, it measures everything, and writes the page
// and the plots beside it. Otherwise it measures little and logs the page. ALLOCATIONS, BURSTS and RUNS replace the
// plan's.
func BenchmarkTURN(b *testing.B) {
	p, path := small, os.Getenv("BENCH_TURN")
	if path != "" {
		p = full
	}
	numbers(b, "ALLOCATIONS", &p.Allocations)
	numbers(b, "BURSTS", &p.Bursts)
	runs := []int{p.Runs}
	numbers(b, "RUNS", &runs)
	p.Runs = runs[0]
	r := measure(b, p)
	page := r.report("`make bench-turn`")
	if path == "" {
		b.Log("\n" + page)
		return
	}

	bare := strings.TrimSuffix(path, ".md")
	for at, text := range map[string]string{path: page, bare + ".svg": r.plot(false),
		bare + "-streams.svg": r.plot(true)} {
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreams is the part of make bench-turn that is about clients over TCP and TLS. It logs its part of the page,
// and writes the plot for it if BENCH_TURN says where. RUNS replaces the plan's. OVER, BY, SERVERS, ALLOCATIONS and
// BURSTS restrict what is measured: OVER=veth BY=TLS SERVERS=ours,coturn.
func BenchmarkStreams(b *testing.B) {
	p := full
	runs := []int{p.Runs}
	numbers(b, "RUNS", &runs)
	p.Runs = runs[0]
	var allocations, bursts []int
	numbers(b, "ALLOCATIONS", &allocations)
	numbers(b, "BURSTS", &bursts)
	by, over := os.Getenv("BY"), os.Getenv("OVER")
	p.Streams = slices.DeleteFunc(p.Streams, func(d demand) bool {
		return by != "" && d.way.name != by || allocations != nil && !slices.Contains(allocations, d.allocations)
	})
	for i := range p.Streams {
		if bursts != nil {
			p.Streams[i].bursts = bursts
		}
	}

	r := begin(b, p)
	if servers := os.Getenv("SERVERS"); servers != "" {
		r.brands = slices.DeleteFunc(r.brands, func(of brand) bool {
			return !slices.Contains(strings.Split(servers, ","), of.name)
		})
	}

	for _, lay := range []func(testing.TB, cores) ground{loopback, veth} {
		if g := lay(b, r.cores); over == "" || g.name == over {
			r.measureStreams(b, g)
		}
	}

	var page strings.Builder
	r.reportAims(&page)
	r.reportStreams(&page)
	b.Log("\n" + page.String())
	if path := os.Getenv("BENCH_TURN"); path != "" {
		if err := os.WriteFile(strings.TrimSuffix(path, ".md")+"-streams.svg", []byte(r.plot(true)),
			0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// numbers reads a list such as 2,16 from the environment.
func numbers(t testing.TB, name string, into *[]int) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return
	}
	*into = nil

	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s: want numbers, such as 2,16", name, text)
		}
		*into = append(*into, n)
	}
}
