package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const sessionsMeasured = 50

// report says p50 and p95 of a sample in milliseconds as metrics of a benchmark.
func report(b *testing.B, name string, sample []float64) {
	b.Helper()
	if len(sample) == 0 {
		b.Fatalf("%s: nothing measured", name)
	}
	slices.Sort(sample)
	b.ReportMetric(sample[len(sample)/2], name+"_p50_ms")
	b.ReportMetric(sample[min(len(sample)*95/100, len(sample)-1)], name+"_p95_ms")
}

// The terminal viewer's time to first frame over 50 sessions on loopback, each a process of its own, and where it goes.
// It does not depend on b.N.
func BenchmarkTimeToFirstFrameTerminal(b *testing.B) {
	url := startRelayCommand(b)
	links := startCameraSim(b, url, 1)
	state := filepath.Join(b.TempDir(), "viewer")
	viewer := func(args ...string) []byte {
		out, err := exec.Command(filepath.Join(binaries(b), "viewer"), append([]string{"-state", state}, args...)...).Output()
		if err != nil {
			b.Fatalf("viewer %v: %v: %s", args, err, out)
		}
		return out
	}
	viewer("pair", links["sim-0"])
	for _, way := range []struct{ name, flag string }{{"direct", "-relay-only=false"}, {"relayed", "-relay-only=true"}} {
		b.Run(way.name, func(b *testing.B) {
			phases := map[string][]float64{}
			for range sessionsMeasured {
				var r map[string]any
				if err := json.Unmarshal(viewer("watch", "sim-0", "-frames", "1", "-json", way.flag), &r); err != nil {
					b.Fatal(err)
				}
				answered, connected, first := r["answered_ms"].(float64), r["connected_ms"].(float64), r["ttff_ms"].(float64)
				phases["1_answer"] = append(phases["1_answer"], answered)
				phases["2_connect"] = append(phases["2_connect"], connected-answered)
				phases["3_frame"] = append(phases["3_frame"], first-connected)
				phases["ttff"] = append(phases["ttff"], first)
			}
			for name, sample := range phases {
				report(b, name, sample)
			}
		})
	}
}

// The page's time to first frame in Chromium over 50 sessions on loopback: from the session's start to the first picture shown.
func BenchmarkTimeToFirstFrameChromium(b *testing.B) {
	url := startRelayCommand(b)
	links := startCameraSim(b, url, 1)
	for _, way := range []struct {
		name string
		hide bool
	}{{"h264", false}, {"vp8", true}} {
		b.Run(way.name, func(b *testing.B) {
			if way.hide {
				links = startCameraSim(b, url, 1)
			}
			r := drive{Browser: "chromium", Policy: "plain", HideH264: way.hide, Steps: []step{
				{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"sessions": sessionsMeasured},
			}}.run(b)
			report(b, "ttff", r.TTFF)
		})
	}
}

// The memory of one camera-sim process with 100 cameras of 100 households, each connected to its relay and showing a code.
func BenchmarkHundredCameras(b *testing.B) {
	url := startRelayCommand(b)
	p := start(b, "camera-sim", "-relay", url, "-state", b.TempDir(), "-n", "100", "-log-level", "error")
	for range 100 {
		p.line(b, "pair ")
	}
	// A second of every clip, so that each camera holds its group of pictures.
	time.Sleep(3 * time.Second)
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "VmRSS:" || fields[0] == "Threads:") {
			n, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			if fields[0] == "VmRSS:" {
				b.ReportMetric(n/1024, "rss_MiB")
				continue
			}
			b.ReportMetric(n, "threads")
		}
	}
}
