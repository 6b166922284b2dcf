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
	"testing"
	"time"

	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/test/bubble"
)

func TestParseInput(t *testing.T) {
	rows := []struct{ name, want, err string }{
		{"rtsp://192.0.2.1/stream", "rtsp://192.0.2.1/…", ""},
		{"rtsps://user:p%40ss@cam.example:322/s?token=x", "rtsps://cam.example:322/…", ""},
		{"rtsp://user:secret@[2001:db8::1]:554", "rtsp://[2001:db8::1]:554", ""},
		{"/dev/video0", "/dev/video0", ""},
		{"test", "test pattern of 640x360, 15 a second", ""},
		{"test:1280x720@30", "test pattern of 1280x720, 30 a second", ""},
		{"film.mp4", "film.mp4", ""},
		{"./test", "./test", ""},
		{"", "", "empty"},
		{"rtsp://", "", "host"},
		{"rtsp://host/\nfile secret", "", "invisible character"},
		{"http://u:secret@host/x", "http://host/…", ""},
		{"HTTPS://u:secret@host/x", "https://host/…", ""},
		{"rtmp://u:secret@host/x", "", `scheme "rtmp"`},
		{"admin:secret@host/x", "admin:redacted@host/x", ""},
		{"admin:secret@host/x://y", "", "scheme"},
		{"test:secret@host/x", "", "did you mean rtsp://test:…@host/…?"},
		{"test:640", "", "test:WIDTHxHEIGHT@FPS"},
		{"/dev/v4l/by-id/usb-046d_HD_Webcam-video-index0", "/dev/v4l/by-id/usb-046d_HD_Webcam-video-index0", ""},
		{"/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0",
			"/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0", ""},
		{"test:1280x720", "", "test:WIDTHxHEIGHT@FPS"},
		{"test:641x360@15", "", "even sizes"},
		{"test:640x360@0", "", "1 to 120"},
		{"a\x00b", "", "NUL"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			in, err := parseInput(row.name)
			if row.err == "" {
				if err != nil || in.String() != row.want {
					t.Errorf("got %q, %v", in, err)
				}
				return
			}

			if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), row.err) ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, row.err)
			}
		})
	}
}

// FuzzParseInput plants a secret between a colon and an @. No message about the input may contain any part of it.
func FuzzParseInput(f *testing.F) {
	f.Add("rtsp://cam", "s3cret", "host/path")
	f.Add("http://", "x", "@y")
	f.Add("rtsp:/admin", "12/34", "cam")
	f.Add("admin", "a#b?c%41 d", "cam:554/live")

	f.Fuzz(func(t *testing.T, before, middle, rest string) {
		const head, tail = "ZQxj7k", "W9vKp2" // neither occurs by chance, so even a part of the secret is noticed
		prose := rest == "" || strings.ContainsAny(rest[:1], " \t\r\n,;)")
		if prose || strings.Contains(before+middle+rest, head) || strings.Contains(before+middle+rest, tail) {
			return
		}

		name := before + ":" + head + middle + tail + "@" + rest
		in, err := parseInput(name)
		said := fmt.Sprint(in, err)
		_, err = Opener{FFmpeg: "/nowhere/ffmpeg"}.Open(t.Context(), name)
		said += fmt.Sprint(err)
		var guess *GuessError
		if errors.As(err, &guess) {
			said += guess.Shown
			if _, err := parseInput(guess.URL()); err != nil {
				t.Errorf("%q is guessed to be a URL that is refused: %v", name, err)
			}
		}
		if again := redact.Text(said); strings.Contains(said+again, head) || strings.Contains(said+again, tail) {
			t.Errorf("%q contains a secret, or %q does", said, again)
		}
	})
}

// ffmpeg's last lines are shown without credentials, even if a line was cut off.
func TestComplaintContainsNoPassword(t *testing.T) {
	said := &tail{}
	for range 20 {
		said.Write([]byte("[rtsp @ 0x55c8] an unknown complaint about rtsp://u:s?e/c@secret@h/p\r\n"))
	}
	err := said.err(errors.New("exit status 1")).Error()
	if strings.Contains(err, "secret") || strings.Count(err, "unknown complaint") != maxTailLines {
		t.Errorf("got %q", err)
	}

	cut := &tail{}
	cut.Write([]byte("opening rtsp://u:" + strings.Repeat("secret", 200) + "@h/p\n"))
	if got := cut.err(errors.New("exit")).Error(); strings.Contains(got, "secret") {
		t.Errorf("a line that was cut: %q", got)
	}
}

// TestTestPattern runs ffmpeg's encoder, which V4L2 devices use as well.
func TestTestPattern(t *testing.T) {
	need(t, "ffmpeg")
	feed := runFeed(t, "test:160x120@30", Opener{}, FeedOptions{})
	units := collect(t, feed.Subscribe(), 70)
	check(t, units)
	keys := 0
	for _, unit := range units {
		if unit.Keyframe {
			keys++
		}
	}

	if keys != 2 {
		t.Errorf("%d keyframes in 70 pictures, want one every 2 s", keys)
	}
}

func TestDeviceArguments(t *testing.T) {
	in, err := parseInput("/dev/video3")
	if err != nil {
		t.Fatal(err)
	}
	args, stdin := in.ffmpegArgs(Opener{})
	line := strings.Join(args, " ")
	if !strings.Contains(line, "-protocol_whitelist  -f v4l2 -i /dev/video3 -map 0:v:0 -c:v libx264") ||
		!strings.Contains(line, "-tune zerolatency -profile:v baseline -bf 0") || stdin != "" {
		t.Errorf("ffmpeg %s", line)
	}
}

func TestFileBitExact(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, name := range []string{"main", "high-slices", "baseline-slices", "interlaced"} {
			feed, units := playOnce(t, name)
			if !bytes.Equal(join(units), readStream(t, name)) {
				t.Errorf("%s: the output is not the file", name)
			}
			if took := units[len(units)-1].Captured.Time().Sub(units[0].Captured.Time()); took !=
				1900*time.Millisecond {
				t.Errorf("%s: 20 pictures at 10 per second took %v", name, took)
			}

			if _, err := feed.Subscribe().Next(t.Context()); err == nil {
				t.Errorf("%s: a subscription to an ended feed", name)
			}
		}
	})
}

// playOnce plays a test stream to its end and returns what a subscriber got.
func playOnce(t *testing.T, name string) (*Feed, []AccessUnit) {
	t.Helper()
	source, err := Opener{Once: true}.Open(t.Context(), filepath.Join("testdata", name+".h264"))
	if err != nil {
		t.Fatal(err)
	}

	feed := NewFeed(source, FeedOptions{})
	subscription := feed.Subscribe()
	if err := feed.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var units []AccessUnit

	for {
		unit, err := subscription.Next(t.Context())
		if err != nil {
			return feed, units
		}
		units = append(units, unit)
	}
}

func TestFileLoops(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		feed := NewFeed(fileSource{path: "testdata/main.h264"}, FeedOptions{})
		subscription := feed.Subscribe()
		done := make(chan error, 1)
		go func() { done <- feed.Run(ctx) }()
		units := collect(t, subscription, 60)
		if !bytes.Equal(join(units), bytes.Repeat(readStream(t, "main"), 3)) {
			t.Error("three rounds are not three times the file")
		}

		if got := units[59].PTS - units[0].PTS; got != 5900*time.Millisecond {
			t.Errorf("60 pictures in %v", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestFileBFrames(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		states := make(chan State, 10)
		feed := NewFeed(fileSource{path: "testdata/bframes.h264"}, FeedOptions{OnState: func(s State) { states <- s }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- feed.Run(ctx) }()
		if s := <-states; !errors.Is(s.Err, ErrBFrames) || s.Seen {
			t.Errorf("state %v", s)
		}

		cancel()
		<-done
	})
}

// TestContainer reads an MP4 file. Its NAL units come out unchanged, with parameter sets before every keyframe.
func TestContainer(t *testing.T) {
	ffmpeg := need(t, "ffmpeg")
	file := filepath.Join(t.TempDir(), "it's a film.mp4")
	if out, err := exec.Command(ffmpeg, "-v", "error", "-r", "10", "-i", "testdata/main.h264", "-c", "copy",
		file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	source, err := Opener{Once: true}.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}

	feed := NewFeed(source, FeedOptions{})
	subscription := feed.Subscribe()
	if err := feed.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	units := collect(t, subscription, 20)
	check(t, units)
	want, err := Split(readStream(t, "main"))
	if err != nil {
		t.Fatal(err)
	}

	for n := range want {
		if got, want := pictureNALs(units[n].Data), pictureNALs(want[n]); !bytes.Equal(got, want) {
			t.Fatalf("picture %d differs", n)
		}
	}
}

func pictureNALs(unit []byte) (nals []byte) {
	for _, nal := range nalUnits(unit) {
		if isVCL(nalType(nal)) {
			nals = append(append(nals, startCode...), nal...)
		}
	}
	return nals
}

func TestNoFFmpeg(t *testing.T) {
	film := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.WriteFile(film, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, input := range []string{"rtsp://u:secret@192.0.2.1/x", "http://u:secret@192.0.2.1/x", film, "/dev/video0",
		"test"} {
		_, err := Opener{FFmpeg: "/nowhere/ffmpeg", Transcode: true}.Open(t.Context(), input)
		if !errors.Is(err, ErrNoFFmpeg) || !strings.Contains(err.Error(), "apt-get install ffmpeg") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", input, err)
		}
	}
}

// standIn returns a program to use instead of ffmpeg. It accepts -version, and otherwise runs script.
func standIn(t *testing.T, script string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "ffmpeg")
	text := "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\n" + script + "\n"
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}

// onceSource is a Source that reads its input once, and then only waits: what the input has left running can be told
// from what the next one runs.
type onceSource struct {
	Source
	ran bool
}

func (s *onceSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	if !s.ran {
		s.ran = true
		return s.Source.Run(ctx, sink)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestSourceOutput runs scripts instead of ffmpeg.
func TestSourceOutput(t *testing.T) {
	rows := []struct {
		name, script, want string
		stall              time.Duration
	}{
		{"garbage", "printf 'garbage instead of a container'; exec sleep 600", "not an FLV stream", patience},
		{"silence", "exec sleep 600", "stalled", time.Second},
		{"an end", "exit 0", "the input has ended", patience},
		{"a known complaint", "echo 'tcp: Connection refused' >&2; exit 1", "connection refused", patience},
		{"an unknown complaint", "echo 'odd rtsp://u:secret@h/x' >&2; exit 3", "ffmpeg: exit status 3: odd rtsp://h/…",
			patience},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			source, err := Opener{FFmpeg: standIn(t, row.script)}.Open(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			feed := runSource(t, &onceSource{Source: source}, FeedOptions{Stall: row.stall})
			s := feed.await(t, "dead", func(s State) bool { return s.Restarts == 1 })
			if !strings.Contains(s.String(), row.want) || strings.Contains(s.String(), "secret") {
				t.Errorf("got %q, want %q", s, row.want)
			}

			if running := children(t, "sleep"); len(running) > 0 {
				t.Errorf("still running: %q", running)
			}
		})
	}
}

func FuzzFLV(f *testing.F) {
	header := []byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00")
	f.Add(append(header, "\x09\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x00"+
		"\x01\x42\xc0\x1e\xff\xe1\x00\x01\x67\x01\x00\x01\x68"...))
	f.Add(append(header, "\x09\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x17\x01\x00\x00\x00\x00\x00\x00\x01\x65"...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		flv := flvReader{r: bufio.NewReader(bytes.NewReader(stream))}
		for {
			unit, err := flv.next()
			if err != nil {
				return
			}
			if len(unit.data) > 0 && !bytes.HasPrefix(unit.data, startCode) {
				t.Fatalf("%x is not Annex B", unit.data)
			}
			checkParsed(t, unit)
		}
	})
}
