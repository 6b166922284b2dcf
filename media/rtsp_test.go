package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/reserve"
)

// rtspServer is GStreamer's RTSP server in a process of its own.
type rtspServer struct {
	cmd  *exec.Cmd
	port string
}

func startRTSP(t *testing.T, args ...string) *rtspServer {
	t.Helper()
	need(t, "ffmpeg")
	const python = "/usr/bin/python3" // Debian's, for which python3-gi is packaged
	need(t, python)
	check := "import gi; gi.require_version('GstRtspServer', '1.0')"
	if out, err := exec.Command(python, "-c", check).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("GStreamer's RTSP server is not installed: %s", out)
		}
		t.Skip("GStreamer's RTSP server is not installed (gir1.2-gst-rtsp-server-1.0, python3-gi)")
	}

	cmd := exec.Command(python, append([]string{"testdata/rtsp_server.py"}, args...)...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it closes with this process, which ends the server
		t.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil { // it ends with the test, also if it hangs
		t.Fatal(err)
	}

	s := &rtspServer{cmd: cmd}
	t.Cleanup(s.kill)
	if s.port, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the RTSP server did not start: %v", err)
	}
	s.port = strings.TrimSpace(s.port)
	return s
}

func (s *rtspServer) kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

func (s *rtspServer) url(path string) string { return "rtsp://127.0.0.1:" + s.port + path }

// runningFeed is a Feed that runs until the test ends.
type runningFeed struct {
	*Feed
	states chan State
}

func runFeed(t *testing.T, input string, opener Opener, o FeedOptions) runningFeed {
	t.Helper()
	source, err := opener.Open(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	return runSource(t, source, o)
}

func runSource(t *testing.T, source Source, o FeedOptions) runningFeed {
	t.Helper()
	states := make(chan State, 100)
	o.OnState = func(s State) { states <- s }
	feed := NewFeed(source, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()

	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("feed: %v", err)
		}
		if children := children(t, "ffmpeg"); len(children) > 0 {
			t.Errorf("ffmpeg still runs: %q", children)
		}
	})

	return runningFeed{feed, states}
}

// patience is how long a test waits for something before it fails.
const patience = 2 * time.Minute

// await returns the first state that want accepts.
func (f runningFeed) await(t *testing.T, what string, want func(State) bool) State {
	t.Helper()
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case s := <-f.states:
			if want(s) {
				return s
			}
			seen = append(seen, s.String())
		case <-timeout:
			t.Fatalf("never %s; states: %q", what, seen)
		}
	}
}

func isLive(s State) bool { return s.Live }

// collect returns the next count access units.
func collect(t *testing.T, s *Subscription, count int) (units []AccessUnit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range count {
		unit, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %d access units: %v", len(units), err)
		}
		units = append(units, unit)
	}

	return units
}

func join(units []AccessUnit) (stream []byte) {
	for _, unit := range units {
		stream = append(stream, unit.Data...)
	}
	return stream
}

// check writes units to a file and checks it with ffprobe and the splitter.
func check(t *testing.T, units []AccessUnit) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "units.h264")
	stream := join(units)
	if err := os.WriteFile(file, stream, 0o600); err != nil {
		t.Fatal(err)
	}

	probe(t, need(t, "ffprobe"), file, len(units))
	split, err := Split(stream)
	if err != nil || len(split) != len(units) {
		t.Errorf("%d access units, %v; want %d", len(split), err, len(units))
	}

	for n, unit := range units {
		if n < len(split) && !bytes.Equal(split[n], unit.Data) {
			t.Fatalf("access unit %d is not exactly one", n)
		}
		if unit.Keyframe && (!bytes.Contains(unit.Data, []byte{0, 0, 0, 1, 0x67}) ||
			!bytes.Contains(unit.Data, []byte{0, 0, 0, 1, 0x68})) {
			t.Errorf("keyframe %d has no parameter sets", n)
		}

		if n > 0 && unit.PTS < units[n-1].PTS {
			t.Errorf("PTS decreases at %d", n)
		}
	}

	if !units[0].Keyframe {
		t.Error("the first access unit is not a keyframe")
	}
}

func TestRTSP(t *testing.T) {
	server := startRTSP(t)
	for path, profile := range map[string]uint8{"/baseline": 66, "/high": 100} {
		t.Run(path[1:], func(t *testing.T) {
			feed := runFeed(t, server.url(path), Opener{}, FeedOptions{})
			units := collect(t, feed.Subscribe(), 40)
			check(t, units)
			var inspector Inspector
			if _, _, err := inspector.Inspect(units[0].Data); err != nil || inspector.SPS().Profile != profile {
				t.Errorf("profile %d, %v", inspector.SPS().Profile, err)
			}

			if s := feed.State(); !s.Live || s.String() != "live" {
				t.Errorf("state: %v", s)
			}
		})
	}
}

func TestRTSPBFrames(t *testing.T) {
	server := startRTSP(t)
	feed := runFeed(t, server.url("/bframes"), Opener{}, FeedOptions{})
	subscription := feed.Subscribe()
	s := feed.await(t, "refused", func(s State) bool { return errors.Is(s.Err, ErrBFrames) })
	if !strings.Contains(s.String(),
		"no video yet: the stream has B-frames: set the camera's encoder to no B-frames") ||
		!strings.Contains(s.String(), "-transcode") {
		t.Errorf("the sentence is %q", s)
	}

	if unit, ok, _ := subscription.pop(); ok {
		t.Errorf("a picture of a stream with B-frames was shown: %d bytes", len(unit.Data))
	}
	if testing.Short() {
		return
	}

	other := startRTSP(t) // GStreamer's server fails an assertion if one client leaves a stream while another joins it
	transcoded := runFeed(t, other.url("/bframes"), Opener{Transcode: true}, FeedOptions{})
	check(t, collect(t, transcoded.Subscribe(), 30))
}

func TestRTSPDigest(t *testing.T) {
	const password = "s3cret'%40x"
	server := startRTSP(t, "--digest", "cam", "s3cret'@x")
	t.Run("right", func(t *testing.T) {
		feed := runFeed(t, "rtsp://cam:"+password+"@127.0.0.1:"+server.port+"/baseline", Opener{}, FeedOptions{})
		check(t, collect(t, feed.Subscribe(), 20))
	})

	t.Run("right, through ffmpeg", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short leaves out what takes ffmpeg long")
		}
		url := "rtsp://cam:" + password + "@127.0.0.1:" + server.port + "/baseline"
		feed := runFeed(t, url, Opener{Transcode: true}, FeedOptions{})
		check(t, collect(t, feed.Subscribe(), 20))
		running := children(t, "ffmpeg")
		if len(running) != 1 || strings.Contains(running[0], "s3cret") || strings.Contains(running[0], server.port) {
			t.Errorf("every user of this machine can read: %q", running)
		}
	})

	t.Run("wrong", func(t *testing.T) {
		feed := runFeed(t, "rtsp://cam:wr0ng@127.0.0.1:"+server.port+"/baseline", Opener{}, FeedOptions{})
		s := feed.await(t, "refused", func(s State) bool { return s.Restarts == 1 })
		want := "no video yet: read rtsp://127.0.0.1:" + server.port +
			"/…: the camera refused the user name or the password"
		if s.String() != want {
			t.Errorf("got %q, want %q", s, want)
		}
	})
}

// children returns the command lines of this process's children that have that name.
func children(t *testing.T, name string) (lines []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		line, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent int
		fields := string(line[bytes.LastIndexByte(line, ')')+1:])
		if _, err := fmt.Sscan(fields, &state, &parent); err != nil || parent != os.Getpid() ||
			!bytes.Contains(line, []byte("("+name+")")) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
		lines = append(lines, strings.ReplaceAll(string(cmdline), "\x00", " "))
	}

	return lines
}

func TestRTSPComesBack(t *testing.T) {
	_, port, _ := strings.Cut(reserve.For(t), ":")
	server := startRTSP(t, "--port="+port)
	feed := runFeed(t, server.url("/baseline"), Opener{}, FeedOptions{})
	subscription := feed.Subscribe()
	before := collect(t, subscription, 10)
	server.kill()
	s := feed.await(t, "dead", func(s State) bool { return strings.Contains(s.String(), "connection refused") })
	if !strings.HasPrefix(s.String(), "no video: ") {
		t.Errorf("state %q", s)
	}

	if late := feed.Subscribe(); len(late.queue) != 0 {
		t.Error("a new subscriber gets the last pictures of a dead input")
	}
	for ok := true; ok; { // the pictures from before the input died
		_, ok, _ = subscription.pop()
	}

	startRTSP(t, "--port="+port)
	feed.await(t, "live again", isLive)
	after := collect(t, subscription, 10)
	check(t, after)
	if after[0].PTS <= before[9].PTS {
		t.Errorf("PTS decreases from %v to %v", before[9].PTS, after[0].PTS)
	}
}

// patient is a Source that does not stall before its first picture, however long that takes on a busy machine.
type patient struct{ Source }

func (p patient) Run(ctx context.Context, sink func(AccessUnit)) error {
	units, ended := make(chan AccessUnit), make(chan error, 1)
	go func() {
		ended <- p.Source.Run(ctx, func(unit AccessUnit) {
			select {
			case units <- unit:
			case <-ctx.Done():
			}
		})
	}()

	waiting := time.NewTicker(100 * time.Millisecond)
	defer waiting.Stop()
	for {
		select {
		case unit := <-units:
			waiting.Stop()
			sink(unit)
		case <-waiting.C:
			sink(AccessUnit{Data: []byte{0, 0, 0, 1, 9, 0x10}}) // an access unit delimiter without a picture
		case err := <-ended:
			return err
		}
	}
}

func TestRTSPStalls(t *testing.T) {
	server := startRTSP(t)
	source, err := Open(t.Context(), server.url("/baseline"))
	if err != nil {
		t.Fatal(err)
	}

	feed := runSource(t, patient{source}, FeedOptions{Stall: 3 * time.Second})
	feed.await(t, "live", isLive)
	if err := server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	feed.await(t, "stalled", func(s State) bool { return errors.Is(s.Err, ErrStalled) })
	if err := server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	feed.await(t, "live again", isLive)
}

func TestInputErrors(t *testing.T) {
	server := startRTSP(t)
	closed := reserve.For(t)
	rows := []struct{ name, input, want string }{
		{"nobody listens", "rtsp://u:p@" + closed + "/x",
			"no video yet: read rtsp://" + closed + "/…: connection refused"},
		{"no such path", server.url("/nothing"), "the camera has no stream under this path (404)"},
		{"not H.264", server.url("/mjpeg"), "is not H.264"},
		{"not a video", "doc.go", "not a video"},
		{"no such device", "/dev/video99", "no such file or device"},
	}

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			feed := runFeed(t, row.input, Opener{}, FeedOptions{})
			s := feed.await(t, "dead", func(s State) bool { return s.Restarts == 1 })
			if !strings.Contains(s.String(), row.want) {
				t.Errorf("got %q, want %q", s, row.want)
			}
		})
	}
}

// A file that is gone may come back: somebody may plug its disk in again.
func TestFeedWaitsForAFileThatIsGone(t *testing.T) {
	for name, want := range map[string]string{
		"film.mp4":  "no such file or device",
		"film.h264": "no such file or directory",
	} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}

		feed := runSource(t, source, FeedOptions{})
		s := feed.await(t, "dead", func(s State) bool { return s.Restarts == 1 })
		if !strings.Contains(s.String(), want) {
			t.Errorf("got %q, want %q", s, want)
		}
	}
}
