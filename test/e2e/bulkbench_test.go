//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/turn"
)

var (
	bulkTime = flag.Duration("bulk-time", 7*time.Second, "how long one transfer of BenchmarkBulk takes, roughly")
	bulkRuns = flag.Int("bulk-runs", 3, "of how many transfers BenchmarkBulk takes the median")
	bulkRate = flag.Int("bulk-rate", 100, "what the viewer's line carries in BenchmarkBulk, in Mbit/s each way")
	bulkTCP  = flag.String("bulk-tcp", "cubic", "the congestion control of the TCP that BenchmarkBulk compares with")
)

// bulkEndsBuilt builds test/bulkends, once per test process that asks for it.
var bulkEndsBuilt = sync.OnceValue(func() error { return buildRig("bulkends") })

// bulkScene has a camera with a public address, so that iperf3 gets there too, a viewer at home, and a relay. All paths
// between camera and viewer lead over the viewer's line.
type bulkScene struct {
	relay, camera, viewer *natlab.Host
	turn                  turn.Grant
	watched               bool // the camera yields, as if somebody watched it too
}

func newBulkScene(t testing.TB) *bulkScene {
	t.Helper()
	natlab.Need(t)
	if err := bulkEndsBuilt(); err != nil {
		t.Fatalf("build test/bulkends: %v", err)
	}
	lab := natlab.New(t)
	return &bulkScene{
		relay:  lab.Public("relay"),
		camera: lab.Behind("camera", natlab.Open.WithoutIPv6()),
		viewer: lab.Behind("viewer", natlab.PortRestricted),
	}
}

// startTURN starts the relay, and makes the credentials with which both ends use it.
func (s *bulkScene) startTURN(t testing.TB) {
	t.Helper()
	secret := bytes.Repeat([]byte("secret"), 8)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	startBy(t, s.relay.Start, "relay", "serve", "-listen", "[::]:443", "-turn", "[::]:3478", "-public-url",
		"https://relay.lab", "-tls-self-signed", "-state", t.TempDir(), "-turn-secret", file).line(t, "ready ")

	keys, err := turn.NewKeys(secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.turn, err = keys.Grant("", time.Now(), turn.MaxTTL); err != nil {
		t.Fatal(err)
	}
}

// introduce takes what an end of a transfer says about itself to the other.
func (r rig) introduce(t testing.TB, to rig) {
	t.Helper()
	to.tell(t, "{"+r.line(t, "{"))
}

// carry carries an object of size bytes by one of the methods of test/bulkends, and returns how long that took and when
// it was over. The relayed way leads through the relay alone.
func (s *bulkScene) carry(
	t testing.TB, method string, relayed bool, size int,
) (took time.Duration, over time.Time) {
	t.Helper()
	dir := t.TempDir()
	common := []string{"-size", strconv.Itoa(size), "-dir", dir, "-password", "a password that all tests know",
		"-watched=" + strconv.FormatBool(s.watched)}
	from := func(c turn.Credential) (args []string) {
		if !relayed {
			return common
		}
		return append(common[:len(common):len(common)], "-turn", "turn:"+s.relay.IPv4().String()+":3478?transport=udp",
			"-username", c.Username, "-credential", c.Password)
	}
	camera := startRig(t, s.camera, "bulkends", append(from(s.turn.Camera), method, "camera")...)
	viewer := startRig(t, s.viewer, "bulkends",
		append(from(s.turn.Viewer), "-relay-only="+strconv.FormatBool(relayed), method, "viewer")...)
	defer os.RemoveAll(dir) // what many transfers leave would fill the disk
	defer camera.stop()
	defer viewer.stop()

	viewer.introduce(t, camera)
	camera.introduce(t, viewer)
	said := viewer.line(t, "done ")
	over = time.Now()
	var bytes int
	var seconds float64
	var byRelay bool
	if _, err := fmt.Sscanf(said, "%d %f relayed=%t", &bytes, &seconds, &byRelay); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	if bytes != size || seconds <= 0 || byRelay != relayed {
		t.Fatalf("%s: %q; want %d bytes, relayed: %t", method, said, size, relayed)
	}
	return time.Duration(seconds * float64(time.Second)), over
}

// What the benchmark measures works: both methods carry an object over a path of their own.
func TestBulkEndsCarryAnObject(t *testing.T) {
	t.Parallel()
	s := newBulkScene(t)
	s.startTURN(t)
	for _, method := range []string{"quic", "sctp"} {
		for _, relayed := range []bool{false, true} {
			s.carry(t, method, relayed, 1<<20)
		}
	}
}

// contestant is a method that carries the object one way, on one line.
type contestant struct {
	method  string
	relayed bool
	size    int       // of the object, in bytes; 0 until the first run
	rates   []float64 // Mbit/s, of each run
}

// run carries the object once more. The first time, objects grow until one takes long enough; the first one would take
// TCP a second.
func (c *contestant) run(t testing.TB, s *bulkScene, tcp float64) {
	t.Helper()
	first := c.size == 0
	if first {
		c.size = max(1<<18, int(tcp*1e6/8))
	}
	for {
		took, _ := s.carry(t, c.method, c.relayed, c.size)
		rate := float64(c.size) * 8 / took.Seconds() / 1e6
		if !first || took > *bulkTime*2/3 {
			c.rates = append(c.rates, rate)
			return
		}
		longer := bulkTime.Seconds() / took.Seconds()
		c.size = int(float64(c.size) * min(longer, 8))
	}
}

// startIPerf starts iperf3's server at the camera.
func (s *bulkScene) startIPerf(t testing.TB) {
	t.Helper()
	server, said := exec.Command("iperf3", "-s", "--forceflush"), &tape{}
	server.Stdout = said
	if err := s.camera.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	eventually(t, "iperf3 listens", func() bool {
		said.mu.Lock()
		defer said.mu.Unlock()
		return strings.Contains(said.data.String(), "Server listening")
	})
}

// iperf returns how fast TCP carries bytes from the camera to the viewer, in Mbit/s.
func (s *bulkScene) iperf(t testing.TB) float64 {
	t.Helper()
	seconds := strconv.Itoa(max(1, int(bulkTime.Seconds())))
	var out, stderr bytes.Buffer
	cmd := exec.Command("iperf3", "-J", "-R", "-C", *bulkTCP, "-t", seconds, "-c", s.camera.IPv4().String())
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := s.viewer.Start(cmd); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()

	var report struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if bad := json.Unmarshal(out.Bytes(), &report); err != nil || bad != nil || report.Error != "" {
		t.Fatalf("iperf3: %v, %v, %s, %s", err, bad, report.Error, stderr.String())
	}
	return report.End.Received.Rate / 1e6
}

// BenchmarkBulk prints how fast one large object travels over the same line by TCP, by QUIC on our ICE path, and by an
// SCTP data channel, directly and through the relay: medians, of runs that take turns. -bench 'Bulk/25ms' measures some
// lines alone.
func BenchmarkBulk(b *testing.B) {
	need(b, "iperf3")
	s := newBulkScene(b)
	s.startTURN(b)
	s.startIPerf(b)

	var rows []string
	for _, delay := range []time.Duration{0, 25 * time.Millisecond, 75 * time.Millisecond} {
		for _, loss := range []float64{0, 0.01} {
			name := fmt.Sprintf("%dms_%.0f%%", delay.Milliseconds(), 100*loss)
			b.Run(name, func(b *testing.B) {
				line := natlab.Quality{Delay: delay, Loss: loss, Rate: *bulkRate * 1e6}
				s.viewer.Network().Impair(line, line)
				begins := fmt.Sprintf("| %d ms | %.0f %% ", delay.Milliseconds(), 100*loss)
				rows = append(rows, s.compete(b, begins)...)
			})
		}
	}

	fmt.Printf("\n| delay one way | loss | way | iperf3, TCP %s | QUIC | of TCP's | SCTP | of TCP's |\n", *bulkTCP)
	fmt.Println("|---|---|---|---|---|---|---|---|")
	fmt.Println(strings.Join(rows, "\n"))
}

// compete lets all take their turns on the line as it is now. It returns the rows of the table, which begin with what
// describes the line.
func (s *bulkScene) compete(b *testing.B, line string) (rows []string) {
	b.Helper()
	var tcp []float64
	var contestants []*contestant
	for _, relayed := range []bool{false, true} {
		for _, method := range []string{"quic", "sctp"} {
			contestants = append(contestants, &contestant{method: method, relayed: relayed})
		}
	}
	for range *bulkRuns {
		tcp = append(tcp, s.iperf(b))
		for _, c := range contestants {
			c.run(b, s, tcp[0])
		}
	}

	base := percentile(tcp, 50)
	b.ReportMetric(base, "tcp-Mbit/s")
	b.ReportMetric(0, "ns/op")
	for pair := range slices.Chunk(contestants, 2) {
		row := fmt.Sprintf("%s| %s | %.1f Mbit/s |", line, pair[0].way(), base)
		for _, c := range pair {
			rate := percentile(c.rates, 50)
			b.ReportMetric(rate, c.method+"-"+c.way()+"-Mbit/s")
			row += fmt.Sprintf(" %.1f Mbit/s | %.2f times |", rate, rate/base)
		}
		rows = append(rows, row)
	}
	return rows
}

func (c *contestant) way() string {
	if c.relayed {
		return "relayed"
	}
	return "direct"
}
