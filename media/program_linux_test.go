package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/media/sandbox"
	"github.com/peephole-cam/peephole/test/tcptest"
)

// TestMain runs only an input in the process that TestFFmpegDiesWithItsParent starts and kills.
func TestMain(m *testing.M) {
	if program := os.Getenv("MEDIA_TEST_FEED"); program != "" {
		source, err := Opener{FFmpeg: program}.Open(context.Background(), "test")
		if err == nil {
			err = source.Run(context.Background(), func(AccessUnit) {})
		}
		panic(err)
	}
	os.Exit(m.Run())
}

// TestFFmpegDiesWithItsParent kills a process that reads an input, so that it cannot end its child.
func TestFFmpegDiesWithItsParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MEDIA_TEST_FEED="+standIn(t, "exec sleep 600"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := -1

	for deadline := time.Now().Add(30 * time.Second); child < 0; {
		if time.Now().After(deadline) {
			t.Fatal("no child")
		}
		child = sleeperOf(cmd.Process.Pid)
	}

	alive, err := unix.PidfdOpen(child, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(alive)

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	ends := []unix.PollFd{{Fd: int32(alive), Events: unix.POLLIN}}
	if n, err := unix.Poll(ends, 30_000); n != 1 || err != nil {
		t.Errorf("the child outlived its parent: %v", err)
	}
}

// sleeperOf returns that child of a process which runs sleep, or -1.
func sleeperOf(parent int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		var pid, its int
		var name, state string
		line, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		if _, err := fmt.Sscan(string(line), &pid, &name, &state, &its); err == nil && its == parent &&
			name == "(sleep)" {
			return pid
		}
	}

	return -1
}

// confined skips the test on a machine that lacks a protection. In CI that is a failure.
func confined(t *testing.T) {
	t.Helper()
	process, err := sandbox.Start(exec.Command("/bin/true"), sandbox.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Fatal(err)
	}

	if missing := process.Held.Missing; len(missing) > 0 && os.Getenv("CI") != "" {
		t.Fatalf("missing here: %q", missing)
	} else if len(missing) > 0 {
		t.Skipf("missing here: %q", missing)
	}
}

// The protections are logged when an input is first started, and not when it is reopened.
func TestFFmpegLogsItsProtectionsOnce(t *testing.T) {
	confined(t)
	for name, row := range map[string]struct{ version, says string }{
		"confined": {"exit 0", `level=DEBUG msg="ffmpeg is confined" from="privileges (capabilities), `},
		"not at all": {"exec cat '" + filepath.Join(t.TempDir(), "out of reach") + "'",
			`level=WARN msg="ffmpeg runs unconfined: `},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "ffmpeg")
			text := "#!/bin/sh\n[ \"$1\" = -version ] && " + row.version + "\nprintf garbage\n"
			if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			source, err := Opener{FFmpeg: program, Log: logger}.Open(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}

			for range 3 {
				if err := source.Run(t.Context(), func(AccessUnit) {}); err == nil || !errors.Is(err, ErrEnded) {
					t.Errorf("it did not run: %v", err)
				}
			}

			if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, row.says) {
				t.Errorf("logged %s", said)
			}
		})
	}
}

// A file from a stranger can be a list of other files. These are not opened, whether on this machine or another.
func TestFFmpegOpensNothingThatAnInputRefersTo(t *testing.T) {
	confined(t)
	ffmpeg := need(t, "ffmpeg")
	dir := t.TempDir()
	film := filepath.Join(dir, "film.mp4")
	if out, err := exec.Command(ffmpeg, "-v", "error", "-r", "10", "-i", "testdata/main.h264", "-c", "copy",
		film).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	asked := make(chan string, 100)
	elsewhere := answering(t, func(request string) string {
		asked <- request
		return "HTTP/1.0 404 Not Found\r\n\r\n"
	})
	for name, text := range map[string]string{
		"a film beside it": "ffconcat version 1.0\nfile film.mp4\n",
		"a film elsewhere": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://" + elsewhere +
			"/film.ts\n#EXT-X-ENDLIST\n",
		"an address, hidden": "ffconcat version 1.0\nfile http://" + elsewhere + "/film.mp4\n",
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(dir, "list")
			if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := Opener{Once: true}.Open(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			pictures := 0
			err = source.Run(t.Context(), func(AccessUnit) { pictures++ })
			if pictures > 0 || err == nil {
				t.Errorf("%d pictures, %v", pictures, err)
			}

			select {
			case request := <-asked:
				t.Errorf("a server was contacted: %q", request)
			default:
			}
		})
	}
}

func TestFFmpegFollowsNoRedirectionToAnotherPort(t *testing.T) {
	confined(t)
	need(t, "ffmpeg")
	inner := make(chan string, 100)
	elsewhere := answering(t, func(request string) string {
		inner <- request
		return "RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"
	})
	asked := make(chan string, 100)
	camera := answering(t, func(request string) string {
		asked <- request
		return "RTSP/1.0 302 Found\r\nCSeq: " + sequence(request) + "\r\nLocation: rtsp://" + elsewhere + "/\r\n\r\n"
	})

	in, err := parseInput("rtsp://" + camera + "/")
	if err != nil {
		t.Fatal(err)
	}
	source, err := openFFmpeg(in, Opener{})
	if err != nil {
		t.Fatal(err)
	}

	if err := source.Run(t.Context(), func(AccessUnit) {}); err == nil {
		t.Error("there was a picture")
	}
	if len(asked) == 0 {
		t.Error("the camera was not contacted, so the test proves nothing")
	}

	if len(inner) > 0 {
		t.Errorf("another port was contacted: %q", <-inner)
	}
}

// answering starts a TCP server that reads requests, each up to an empty line, and answers with what answer returns.
func answering(t *testing.T, answer func(request string) string) (address string) {
	t.Helper()
	at := tcptest.Start(t, func(c net.Conn) {
		var request strings.Builder
		for lines := bufio.NewScanner(c); lines.Scan(); {
			request.WriteString(lines.Text() + "\n")
			if lines.Text() != "" {
				continue
			}

			if _, err := c.Write([]byte(answer(request.String()))); err != nil {
				return
			}
			request.Reset()
		}
	})

	return at.String()
}

func sequence(request string) string {
	for line := range strings.Lines(request) {
		if number, ok := strings.CutPrefix(line, "CSeq: "); ok {
			return strings.TrimSpace(number)
		}
	}
	return "0"
}

// ffmpeg has only the rights that it needs to read its input.
func TestFFmpegNeeds(t *testing.T) {
	for name, want := range map[string]sandbox.Needs{
		"test":                           {},
		"film.mp4":                       {Read: []string{"film.mp4"}},
		"/dev/video3":                    {Device: "/dev/video3"},
		"rtsp://192.0.2.1/x":             {Network: sandbox.Network{TCP: 554}},
		"rtsp://u:p%40@192.0.2.1:8554/x": {Network: sandbox.Network{TCP: 8554}},
		"rtsps://[2001:db8::1]/x":        {Network: sandbox.Network{TCP: 322}},
		"rtsp://cam.example:8554/x":      {Network: sandbox.Network{TCP: 8554, Names: true}},
		"rtsp://u:p@Front-Door.LOCAL/x":  {Network: sandbox.Network{TCP: 554, Names: true, Local: true}},
		"rtsp://cam.local.example/x":     {Network: sandbox.Network{TCP: 554, Names: true}},
	} {
		in, err := parseInput(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := in.needs(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestEncodeJPEG encodes the newest picture, and fails for a stream that has none.
func TestEncodeJPEG(t *testing.T) {
	need(t, "ffmpeg")
	units, err := Split(readStream(t, "main"))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := EncodeJPEG(t.Context(), units[0], nil)
	if err != nil || !bytes.HasPrefix(picture, []byte{0xff, 0xd8}) {
		t.Errorf("%d bytes, %v", len(picture), err)
	}

	if whole, err := EncodeJPEG(t.Context(), bytes.Join(units, nil), nil); err != nil || bytes.Equal(whole, picture) {
		t.Errorf("all pictures: %d bytes, %v; want the last one", len(whole), err)
	}
	if picture, err := EncodeJPEG(t.Context(), []byte("garbage"), nil); err == nil || len(picture) > 0 {
		t.Errorf("garbage: %d bytes, %v", len(picture), err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := EncodeJPEG(ctx, units[0], nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
