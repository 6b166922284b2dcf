package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/reserve"
)

// rtspServer is GStreamer's RTSP server in a process of its own: a camera that we did not write.
type rtspServer struct {
	port string
	kill func()
}

func startRTSP(t *testing.T, args ...string) rtspServer {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's: python3-gi belongs to it
	need(t, "ffmpeg", python)
	if out, err := exec.CommandContext(t.Context(), python, "-c",
		"import gi; gi.require_version('GstRtspServer', '1.0')").CombinedOutput(); err != nil {
		missing(t, "GStreamer's RTSP server: run make deps: "+string(out))
	}

	cmd := exec.Command(python, append([]string{"../../media/testdata/rtsp_server.py"}, args...)...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // the server ends with its standard input
		t.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}

	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the RTSP server did not start: %v", err)
	}
	return rtspServer{strings.TrimSpace(port), kill}
}

func (s rtspServer) url(path string) string { return "rtsp://127.0.0.1:" + s.port + path }

// The viewer writes what the camera read, access unit by access unit, bit for bit, even across the file's seam.
func TestViewerWritesWhatTheCameraRead(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	for _, tt := range []struct {
		name, input string
		frames      string
	}{
		{"baseline", "../../media/clips/clip0.h264", "70"},
		{"high", "../../media/clips/clip1.h264", "70"},
		{"slices", "../../media/testdata/high-slices.h264", "40"},
	} {
		for _, path := range []string{"direct", "relay"} {
			t.Run(tt.name+", "+path, func(t *testing.T) {
				t.Parallel()
				v := newTerminal(t)
				v.pair(t, startCameraCommand(t, url, "-input", tt.input))
				file := filepath.Join(t.TempDir(), "out.h264")
				args := []string{"watch", "porch", "-frames", tt.frames, "-o", file, "-json"}
				if path == "relay" {
					args = append(args, "-relay-only")
				}

				w := v.run(t, args...).parse(t)
				if w.Error != "" || w.Path != path || w.Sending.Rate == 0 {
					t.Fatalf("%+v", w)
				}
				follows(t, units(t, file), units(t, tt.input), w.Sending.LeftOut)
				plays(t, file)
			})
		}
	}
}

// follows checks that got is a run of a loop over want, bit for bit, except for as many units as the sender says it
// left out: a camera on an overloaded machine mistakes its own delay for the path's.
func follows(t *testing.T, got, want [][]byte, leftOut int) {
	t.Helper()
	first := slices.IndexFunc(want, func(unit []byte) bool { return bytes.Equal(unit, got[0]) })
	if first < 0 {
		t.Fatalf("the first of %d access units is none of the input's", len(got))
	}
	at := first

	for n, unit := range got {
		for ; !bytes.Equal(unit, want[at%len(want)]); at++ {
			if leftOut--; leftOut < 0 {
				t.Fatalf("access unit %d of %d differs from the input's %d, and there is no more that was left out", n,
					len(got), (first+n)%len(want))
			}
		}
		at++
	}
}

// The picture of a real RTSP camera arrives without re-encoding, in the profile that the camera sends.
func TestRTSPPictureArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	server, url := startRTSP(t), startRelayCommand(t)
	for path, profile := range map[string]uint8{"/baseline": 66, "/high": 100} {
		t.Run(path[1:], func(t *testing.T) {
			v := newTerminal(t)
			v.pair(t, startCameraCommand(t, url, "-input", server.url(path)))
			file := filepath.Join(t.TempDir(), "out.h264")
			if w := v.run(t, "watch", "porch", "-frames", "40", "-duration", patience.String(), "-o", file,
				"-json").parse(t); w.Error != "" || w.Frames != 40 {
				t.Fatalf("%+v", w)
			}

			var inspector media.Inspector
			if _, key, err := inspector.Inspect(units(t, file)[0]); err != nil || !key ||
				inspector.SPS().Profile != profile {
				t.Errorf("first access unit: keyframe %v, %v, want profile %d", key, err, profile)
			}
			plays(t, file)
		})
	}
}

// A camera that goes away comes back in the same session, and the viewer says both.
func TestRTSPCameraComesBack(t *testing.T) {
	t.Parallel()
	_, port, _ := strings.Cut(reserve.For(t), ":")
	server, url := startRTSP(t, "--port="+port), startRelayCommand(t)
	v := newTerminal(t)
	v.pair(t, startCameraCommand(t, url, "-input", server.url("/baseline")))
	file := filepath.Join(t.TempDir(), "out.h264")
	watching := start(t, "viewer", append(v.flags, "watch", "porch", "-o", file)...)
	eventually(t, "a picture", func() bool { return size(file) > 0 })
	server.kill()
	watching.await(t, "camera: no video: ", 1)
	dead := size(file)
	startRTSP(t, "--port="+port)
	eventually(t, "a picture again", func() bool { return size(file) > dead+20_000 })
	watching.stop()
	if code := watching.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}

	if said := watching.said(); strings.Contains(said, "trying again") ||
		!strings.Contains(said, "camera: the picture is back\n") {
		t.Errorf("the session broke, or nobody said that the picture is back:\n%s", said)
	}
	plays(t, file)
}

// A stream with B-frames is refused, with a sentence on what to do, and plays when it is transcoded.
func TestRTSPCameraWithBFrames(t *testing.T) {
	t.Parallel()
	server, url := startRTSP(t), startRelayCommand(t)
	const sentence = "camera: no video yet: the stream has B-frames: set the camera's encoder to no B-frames"
	t.Run("refused", func(t *testing.T) {
		v := newTerminal(t)
		v.pair(t, startCameraCommand(t, url, "-input", server.url("/bframes")))
		watching := start(t, "viewer", append(v.flags, "watch", "porch", "-json", "-duration", patience.String())...)
		watching.await(t, sentence, 1)
		watching.stop()
		w := outcome{stdout: <-watching.lines}.parse(t)
		if code := watching.ProcessState.ExitCode(); code != 1 || w.Frames != 0 ||
			!strings.Contains(w.Error, "0 frames; the camera says: no video yet: the stream has B-frames") {
			t.Errorf("exit %d, %+v", code, w)
		}
	})

	t.Run("transcoded", func(t *testing.T) {
		v := newTerminal(t)
		v.pair(t, startCameraCommand(t, url, "-input", server.url("/bframes"), "-transcode"))
		file := filepath.Join(t.TempDir(), "out.h264")
		v.ok(t, "watch", "porch", "-frames", "30", "-o", file)
		plays(t, file)
	})
}
