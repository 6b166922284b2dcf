//go:build linux

package turnbench

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// full is what make bench-turn measures: about ten minutes.
var full = plan{
	Allocations: []int{2, 16, 400, 10000},
	Bursts:      []int{1, 8, 16},
	Runs:        5,
	Warm:        50 * time.Millisecond,
	Measured:    300 * time.Millisecond,
	Rates:       []int{20000, 100000},
	Pace:        time.Second,
	Idle:        10000,
}

// small is enough to see that all of it works.
var small = plan{
	Allocations: []int{2, 40},
	Bursts:      []int{1, 8},
	Runs:        1,
	Warm:        10 * time.Millisecond,
	Measured:    50 * time.Millisecond,
	Rates:       []int{1000},
	Pace:        100 * time.Millisecond,
	Idle:        100,
}

// Every kind of figure comes about for every server, and stands in the page and the plot. What the figures are is not judged.
func TestSmall(t *testing.T) {
	r := measure(t, small)
	page, plot := r.report("a test"), r.plot()
	t.Log("\n" + page)
	for _, want := range []string{"## Packets relayed over loopback", "## Packets relayed over veth", "| 40 | indications | 8 |", "| loopback | 1,000 | no server |", "| veth | 1,000 | coturn |", "| veth | 1,000 | ours with XDP |"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") || strings.Contains(plot, "NaN") || strings.Contains(plot, "Inf") {
		t.Error("a figure is not a number")
	}
	const points = 2 * 2 // allocations, bursts; XDP has one ground and the others two
	if n, want := strings.Count(plot, "<title>"), points*(2*len(r.brands)-1); n != want {
		t.Errorf("%d bars in the plot, want %d", n, want)
	}
	for _, b := range r.brands {
		for at, runs := range r.relayed {
			if b.express && at.Ground == "loopback" {
				continue
			}
			if x := runs[b.name]; len(x) != 1 || x[0].PerCPU <= 0 || x[0].PerSec <= 0 || x[0].Loss < 0 || x[0].Loss > 1 {
				t.Errorf("%s, %+v: %+v", b.name, at, x)
			}
		}
		if x := r.idle[b.name]; !b.express && (len(x) != 1 || x[0].PerCPU <= 0 || x[0].Descriptors < 0) {
			t.Errorf("%s, idle: %+v", b.name, x)
		}
	}
	if x := r.idle["coturn"]; len(x) == 1 && x[0].Descriptors != 1 {
		t.Errorf("coturn has %v descriptors an allocation, want 1", x[0].Descriptors)
	}
}

// BenchmarkTURN is make bench-turn. With BENCH_TURN, the path of a page, it measures everything and writes the page, and the plot beside it; else
// little, and shows the page. ALLOCATIONS, BURSTS and RUNS stand in for the plan's.
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
	for at, text := range map[string]string{path: page, strings.TrimSuffix(path, ".md") + ".svg": r.plot()} {
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
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
