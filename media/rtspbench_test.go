package media

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp"
	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
)

// benchSeconds is how long each contestant reads, in seconds.
const benchSeconds = 20

// A contestant starts a process that reads a camera. It returns a function that reads the access units in this process,
// or nil if the other process prints when they arrive.
type contestant struct {
	name  string
	start func(b *testing.B, url string) (*exec.Cmd, unitReader)
}

// unitReader reads access units until ctx ends.
type unitReader func(ctx context.Context, sink func(AccessUnit)) error

// oursProcess starts a program that only runs our client.
func oursProcess(b *testing.B, url string) (*exec.Cmd, unitReader) {
	program := filepath.Join(b.TempDir(), "reader")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./testdata/reader")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build reader: %v: %s", err, out)
	}
	return exec.Command(program, url), nil
}

// ffmpegProcess starts ffmpeg alone, with the arguments that we use for cameras.
func ffmpegProcess(b *testing.B, url string) (*exec.Cmd, unitReader) {
	in, err := parseInput(url)
	if err != nil {
		b.Fatal(err)
	}
	args, stdin := in.ffmpegArgs(Opener{})
	cmd := exec.Command("ffmpeg", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}

	return cmd, func(ctx context.Context, sink func(AccessUnit)) error {
		context.AfterFunc(ctx, func() { out.Close() })
		return deliver(out, sink)
	}
}

// go2rtcProcess starts go2rtc as a proxy, whose output this process reads over RTSP.
func go2rtcProcess(b *testing.B, url string) (*exec.Cmd, unitReader) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	config := fmt.Sprintf(`{"app":{"modules":["rtsp"]},"api":{"listen":""},"webrtc":{"listen":""},`+
		`"rtsp":{"listen":%q},"streams":{"cam":%q}}`, address, url)
	cmd := exec.Command(os.Getenv("GO2RTC"), "-c", config)

	return cmd, func(ctx context.Context, sink func(AccessUnit)) error {
		for {
			if c, err := net.Dial("tcp", address); err == nil {
				c.Close()
				break
			}
			time.Sleep(20 * time.Millisecond)
		}

		start := time.Now()
		client, err := rtsp.New(rtsp.Config{URL: "rtsp://" + address + "/cam?video"})
		if err != nil {
			return err
		}
		return client.Run(ctx, func(u rtsp.Unit) { sink(AccessUnit{Data: u.Data, PTS: time.Since(start)}) })
	}
}

// sentAt returns when the camera began to send an access unit, in Unix nanoseconds, or 0 if the access unit does not
// say.
func sentAt(unit []byte) int64 {
	for _, mark := range Marks(unit[:min(len(unit), 8192)]) {
		n, _ := strconv.ParseInt(mark, 10, 64)
		return n
	}
	return 0
}

// benchUnits returns a stream of 4 Mbit/s with a keyframe every two seconds.
func benchUnits(b *testing.B, fps int) (units [][][]byte) {
	file := filepath.Join(b.TempDir(), "bench.h264")
	rate := strconv.Itoa(fps)
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate="+rate,
		"-t", "8", "-vf", "noise=alls=40:allf=t", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-bf", "0", "-g", strconv.Itoa(2*fps),
		"-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M", "-x264-params", "nal-hrd=cbr",
		file).CombinedOutput()
	if err != nil {
		b.Fatalf("ffmpeg: %v: %s", err, out)
	}
	stream, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}

	for _, unit := range rtsptest.Split("H264", stream) {
		first := slices.IndexFunc(unit, func(nal []byte) bool { return isVCL(nalType(nal)) })
		units = append(units, slices.Insert(slices.Clone(unit), first, []byte{nalSEI}))
	}
	return units
}

// stamp writes the time of sending into the SEI of an access unit.
func stamp(_ string, unit [][]byte, mtu int) [][]byte {
	sei := slices.IndexFunc(unit, func(nal []byte) bool { return len(nal) == 1 })
	stamped := slices.Clone(unit)
	stamped[sei] = MarkSEI(fmt.Sprintf("%019d", time.Now().UnixNano()))[4:]
	return rtsptest.Fragmented("H264", stamped, mtu)
}

// usage is what a process has used so far.
type usage struct {
	cpu      time.Duration
	resident int // kB
	private  int // kB, of resident: memory not backed by a file
}

func usageOf(pid int) (u usage) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		var ran time.Duration
		stat, _ := os.ReadFile(task)
		fmt.Sscan(string(stat), &ran)
		u.cpu += ran
	}

	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			u.resident = kb
		case "RssAnon":
			u.private = kb
		}
	}

	return u
}

// since returns the time until the access unit came: from the request if the reader reports it, otherwise from the
// start of the process.
func since(u AccessUnit, start time.Time) time.Duration {
	if u.PTS > 0 && u.Captured.IsZero() {
		return u.PTS
	}
	return time.Since(start)
}

// BenchmarkRTSP compares three ways of reading a camera. GO2RTC is the path of go2rtc's binary; without it, go2rtc is
// left out.
func BenchmarkRTSP(b *testing.B) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		b.Skip("ffmpeg is not installed")
	}
	contestants := []contestant{{"ours", oursProcess}, {"ffmpeg, as before", ffmpegProcess}}
	if os.Getenv("GO2RTC") != "" {
		contestants = append(contestants, contestant{"go2rtc", go2rtcProcess})
	} else {
		b.Log("go2rtc is left out: set GO2RTC to the path of its binary")
	}

	fmt.Println("| reader | pictures a second | first access unit | delay added p50 | p95 | " +
		"processor | memory | private memory |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, fps := range []int{15, 3} {
		units := benchUnits(b, fps)
		for _, c := range contestants {
			camera := rtsptest.New(b, rtsptest.Options{Units: units, FPS: float64(fps), Pack: stamp, MTU: 1400})
			fmt.Printf("| %s | %d | %s |\n", c.name, fps, c.measure(b, camera.URL("")))
			camera.Close()
		}
	}
}

// measure runs a contestant and returns the cells of its row.
func (c contestant) measure(b *testing.B, url string) string {
	cmd, read := c.start(b, url)
	var lines *bufio.Scanner
	if read == nil {
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		lines = bufio.NewScanner(out)
	}

	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()

	defer cmd.Process.Kill()

	var delays []time.Duration
	var first time.Duration
	var begun time.Time
	var before usage
	note := func(delay, since time.Duration) (more bool) {
		if begun.IsZero() {
			first, begun, before = since, time.Now(), usageOf(cmd.Process.Pid)
		}
		delays = append(delays, delay)
		return time.Since(begun) < benchSeconds*time.Second
	}

	if read == nil {
		for more := true; more && lines.Scan(); {
			var delay, since time.Duration
			fmt.Sscan(lines.Text(), &delay, &since)
			more = note(delay, since)
		}
	} else {
		ctx, cancel := context.WithCancel(b.Context())
		read(ctx, func(u AccessUnit) {
			if sent := sentAt(u.Data); sent != 0 && !note(time.Duration(time.Now().UnixNano()-sent), since(u, start)) {
				cancel()
			}
		})
		cancel()
	}

	if len(delays) == 0 {
		return "nothing came"
	}

	used := usageOf(cmd.Process.Pid)
	slices.Sort(delays)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	return fmt.Sprintf("%s | %s | %s | %.1f ms a second | %.1f MB | %.1f MB",
		ms(first), ms(delays[len(delays)/2]), ms(delays[len(delays)*95/100]),
		(used.cpu-before.cpu).Seconds()*1000/time.Since(begun).Seconds(),
		float64(used.resident)/1024, float64(used.private)/1024)
}
