package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkTimeToFirstFrame watches 50 times, one session after another, with the real relay, camera-sim and viewer:
// what `viewer watch -json` reports, in milliseconds from the start of the session, including the connection to the
// relay.
func BenchmarkTimeToFirstFrame(b *testing.B) {
	for _, path := range []string{"direct", "relay"} {
		b.Run(path, func(b *testing.B) { benchmarkTTFF(b, path) })
	}
}

func benchmarkTTFF(b *testing.B, path string) {
	const sessions = 50
	link := startCameraSim(b, startRelayCommand(b, "-log-level", "error"), 1, "-log-level", "error")["sim-0"]
	v := newTerminal(b)
	v.pair(b, link)
	args := []string{"watch", "sim-0", "-frames", "1", "-json"}
	if path == "relay" {
		args = append(args, "-relay-only")
	}

	var first, stream, answered, connected []float64
	for b.Loop() {
		for range sessions {
			w := v.run(b, args...).parse(b)
			if w.Error != "" || w.Path != path {
				b.Fatalf("%+v", w)
			}
			first, stream, answered, connected = append(first, w.TTFF), append(stream, w.Stream),
				append(answered, w.Answered), append(connected, w.Connected)
		}
	}

	b.ReportMetric(percentile(first, 50), "p50-ttff-ms")
	b.ReportMetric(percentile(first, 95), "p95-ttff-ms")
	b.ReportMetric(percentile(stream, 50), "p50-stream-ms")
	b.ReportMetric(percentile(stream, 95), "p95-stream-ms")
	b.ReportMetric(percentile(answered, 50), "p50-answered-ms")
	b.ReportMetric(percentile(connected, 50), "p50-connected-ms")
}

// percentile returns a percentile by nearest rank.
func percentile(of []float64, p int) float64 {
	slices.Sort(of)
	return of[max(0, (len(of)*p+99)/100-1)]
}

// BenchmarkHundredCameras starts 100 simulated cameras in one process and reports how much memory it holds when all
// show their codes and are connected to the relay.
func BenchmarkHundredCameras(b *testing.B) {
	const cameras = 100
	var memory []float64
	for b.Loop() {
		relay, url := startRelayAt(b, "127.0.0.1:0", "-log-level", "error")
		sim := start(b, "camera-sim", "-relay", url, "-state", filepath.Join(b.TempDir(), "cameras"), "-n",
			strconv.Itoa(cameras), "-log-level", "error")
		for range cameras {
			sim.line(b, "pair ")
		}

		eventually(b, "all cameras are connected", func() bool {
			return gauge(b, url, "peephole_signaling_connections") == cameras
		})
		memory = append(memory, residentMB(b, sim.Process.Pid))
		sim.stop()
		relay.stop()
	}
	b.ReportMetric(percentile(memory, 50), "MB")
}

// gauge reads one of the relay's metrics.
func gauge(b *testing.B, url, name string) float64 {
	b.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}

	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		b.Fatalf("no metric %s", name)
	}

	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// residentMB returns a process's VmRSS (proc(5)).
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kB float64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		b.Fatalf("read VmRSS: %v", err)
	}
	return kB / 1024
}
