//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/peephole-cam/peephole/test/natlab"
)

var idleTime = flag.Duration("idle", 30*time.Second,
	"how long BenchmarkIdleCamera leaves its cameras alone, and then how long it measures")

// What being found without the cloud may add to a camera.
const (
	mostMemory = 12 << 10 // kB
	mostBinary = 12 << 20 // bytes
)

// newIdleCamera returns a scene whose camera has started anew after it was paired, and has nobody who watches. Its
// pictures come from a file, one a second, which is the least that a file may have.
func newIdleCamera(t testing.TB, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t), oneHouse: true}
	s.relayHost = s.lab.Public("relay")
	args = append(idleInput(t), args...)
	for i, arg := range args {
		if arg == "-p2p-relay" {
			args[i+1] = ourCircuitRelay(t, s.lab.Public("others"))
		}
	}

	s.stage(t, natlab.PortRestricted, natlab.PortRestricted, "camera", args...)
	s.pair(t)
	s.cams.stop()
	return s
}

// newIdleCameraOfRegions is newIdleCamera for an operator with two regions, so that the camera has a standby.
func newIdleCameraOfRegions(t testing.TB, args ...string) *scene {
	t.Helper()
	natlab.Need(t)
	s := &scene{lab: natlab.New(t), oneHouse: true}
	s.stageRegions(t, "camera", append(idleInput(t), args...)...)
	s.pair(t)
	s.cams.stop()
	return s
}

func idleInput(t testing.TB) []string {
	t.Helper()
	return []string{"-name", "sim-0", "-input", slowFilm(t)}
}

// idles starts the camera, and waits until it has nothing to do any more.
func (s *scene) idles(t testing.TB) {
	t.Helper()
	s.startCamera(t)
	s.cams.await(t, "input is live", 1)
	s.cams.await(t, "connected to the relay", 1)
}

// slowFilm makes a film of one picture a second.
func slowFilm(t testing.TB) (path string) {
	t.Helper()
	need(t, "ffmpeg")
	path = filepath.Join(t.TempDir(), "slow.h264")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=1", "-t", "2",
		"-pix_fmt", "yuv420p", "-c:v", "libx264", "-threads", "1", "-profile:v", "baseline", "-bf", "0", "-g", "2",
		path).CombinedOutput()
	if err != nil {
		t.Fatalf("make film: %v: %s", err, out)
	}
	return path
}

// An idle camera that can be found without the cloud says nothing on its LAN once it has announced itself, and takes
// little more memory than one that cannot be found.
func TestIdleCameraIsQuietAndSmallOnItsLAN(t *testing.T) {
	t.Parallel()
	const (
		some      = 5 * time.Second
		announced = 2 // times, by one version of IP
	)
	var resident [2]int
	for i, lan := range []string{"-lan=false", "-lan"} {
		s := newIdleCamera(t, lan)
		wire := s.home.Record()
		said := func() (mdns, others int) {
			for _, p := range wire.Packets() {
				switch own := p.Out && p.Protocol == natlab.UDP; {
				case isMDNS(p):
					mdns++
				case own && p.Dst.Addr() != s.relayHost.IPv4():
					others++
				}
			}
			return mdns, others
		}

		s.idles(t)
		if lan == "-lan" {
			eventually(t, "the camera announces itself", func() bool { n, _ := said(); return n >= announced })
		}
		<-time.After(some)

		mdns, others := said()
		if want := announced * i; mdns != want || others > 0 {
			t.Errorf("%s: an idle camera sent %d packets of mDNS and %d others on its LAN; want %d and none",
				lan, mdns, others, want)
		}
		resident[i] = costSoFar(t, s.cams).resident
	}

	more := resident[1] - resident[0]
	t.Logf("resident memory: %d kB, and %d kB more with -lan", resident[0], more)
	if more > mostMemory {
		t.Errorf("-lan takes %d kB of memory, want %d at most", more, mostMemory)
	}
}

// Being found without the cloud adds little to the camera's program.
func TestLANAddsLittleToTheProgram(t *testing.T) {
	t.Parallel()
	with, without := programSizes(t)
	t.Logf("the stripped program: %d bytes, and %d more for p2p", without, with-without)
	if more := with - without; more > mostBinary || more < 1<<20 {
		t.Errorf("p2p adds %d bytes to the program, want %d at most, and a megabyte at least", more, mostBinary)
	}
}

// programSizes builds the camera's program without symbols: as it is, and with nothing in it that is for being found
// without the cloud.
func programSizes(t testing.TB) (with, without int64) {
	t.Helper()
	build := func(args ...string) int64 {
		program := filepath.Join(t.TempDir(), "camera")
		cmd := exec.Command("go", append([]string{"build", "-ldflags", "-s -w", "-o", program}, args...)...)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build camera: %v: %s", err, out)
		}
		info, err := os.Stat(program)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	return build("./cmd/camera"), build("-overlay", withoutP2P(t), "./cmd/camera")
}

// withoutP2P returns a file for go build's -overlay, which replaces what is for being found without the cloud by what
// can do nothing.
func withoutP2P(t testing.TB) (path string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(root, "p2p", "*.go"))
	if err != nil {
		t.Fatal(err)
	}

	replace := make(map[string]string) // an empty name is no file
	for _, part := range parts {
		replace[part] = ""
	}
	replace[filepath.Join(root, "p2p", "doc.go")] = filepath.Join(root, "test/e2e/testdata/withoutp2p/p2p.go")
	replace[filepath.Join(root, "camera", "withoutrelay.go")] =
		filepath.Join(root, "test/e2e/testdata/withoutp2p/withoutrelay.go")

	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cost is what a process has cost so far.
type cost struct {
	resident, private int // kB; private memory is not backed by a file
	switches          int // context switches of all threads
	received, sent    traffic
}

func costSoFar(t testing.TB, p *process) (c cost) {
	t.Helper()
	c.resident, c.private = statusOf(t, p, "status", "VmRSS"), statusOf(t, p, "status", "RssAnon")
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("tasks %v, %v", tasks, err)
	}
	for _, task := range tasks {
		of := filepath.Join("task", filepath.Base(filepath.Dir(task)), "status")
		c.switches += statusOf(t, p, of, "voluntary_ctxt_switches") + statusOf(t, p, of, "nonvoluntary_ctxt_switches")
	}

	c.received, c.sent = trafficOf(t, p)
	return c
}

// statusOf reads a number from a file of a process (proc_pid_status(5)).
func statusOf(t testing.TB, p *process, file, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Process.Pid), file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, rest, _ := strings.Cut(line, ":"); key == name {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", name, file)
	return 0
}

// askAround lets somebody in the camera's house ask for other devices, once a second.
func (s *scene) askAround(t testing.TB) {
	t.Helper()
	question := packed(t, dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name:  dnsmessage.MustNewName("_printer._tcp.local."),
		Type:  dnsmessage.TypePTR,
		Class: dnsmessage.ClassINET,
	}}})
	group, err := net.ResolveUDPAddr("udp4", mdnsGroup)
	if err != nil {
		t.Fatal(err)
	}

	somebody := newStranger(t, s)
	conn := somebody.listen()
	t.Cleanup(func() { conn.Close() })
	somebody.keepDoing(time.Second, func(context.Context) { _, _ = conn.WriteTo(question, group) })
}

// BenchmarkIdleCamera prints what a camera costs that is paired and that nobody watches: medians of three, in five
// states, all at the same time.
func BenchmarkIdleCamera(b *testing.B) {
	states := []struct {
		name   string
		make   func(t testing.TB, args ...string) *scene
		args   []string
		around bool // somebody on the LAN asks for other devices
	}{
		{"`-lan=false`", newIdleCamera, []string{"-lan=false"}, false},
		{"the same, with a standby", newIdleCameraOfRegions, []string{"-lan=false"}, false},
		{"`-lan`, the default", newIdleCamera, []string{"-lan"}, false},
		{"the same, asked around each second", newIdleCamera, []string{"-lan"}, true},
		{"`-lan` and one `-p2p-relay`", newIdleCamera, []string{"-lan", "-p2p-relay", ""}, false},
	}
	const each = 3
	var scenes []*scene
	for _, state := range states {
		for range each {
			s := state.make(b, state.args...)
			if state.around {
				s.askAround(b)
			}
			s.idles(b)
			scenes = append(scenes, s)
		}
	}

	<-time.After(*idleTime)
	began, before := time.Now(), costs(b, scenes)
	<-time.After(*idleTime)
	took, after := time.Since(began), costs(b, scenes)

	fmt.Println("| camera | memory | private memory | context switches | received in an hour | sent in an hour |")
	fmt.Println("|---|---|---|---|---|---|")
	for i, state := range states {
		from, to := i*each, (i+1)*each
		fmt.Printf("| %s | %s |\n", state.name, idleRow(before[from:to], after[from:to], took))
	}
	with, without := programSizes(b)
	fmt.Printf("\nThe stripped program has %.1f MB, and %.1f MB without p2p.\n",
		float64(with)/1e6, float64(without)/1e6)
}

func costs(t testing.TB, scenes []*scene) (all []cost) {
	t.Helper()
	for _, s := range scenes {
		all = append(all, costSoFar(t, s.cams))
	}
	return all
}

// idleRow returns the cells for some cameras in the same state: medians.
func idleRow(before, after []cost, took time.Duration) string {
	median := func(of func(before, after cost) float64) float64 {
		var all []float64
		for i := range after {
			all = append(all, of(before[i], after[i]))
		}
		return percentile(all, 50)
	}
	hourly := func(of func(cost) traffic) string {
		hours := took.Hours()
		packets := median(func(b, a cost) float64 { return float64(of(a).packets-of(b).packets) / hours })
		kilobytes := median(func(b, a cost) float64 { return float64(of(a).bytes-of(b).bytes) / hours / 1e3 })
		return fmt.Sprintf("%.0f packets, %.0f kB", packets, kilobytes)
	}

	return fmt.Sprintf("%.1f MB | %.1f MB | %.1f a second | %s | %s",
		median(func(_, a cost) float64 { return float64(a.resident) * 1024 / 1e6 }),
		median(func(_, a cost) float64 { return float64(a.private) * 1024 / 1e6 }),
		median(func(b, a cost) float64 { return float64(a.switches-b.switches) / took.Seconds() }),
		hourly(func(c cost) traffic { return c.received }), hourly(func(c cost) traffic { return c.sent }))
}
