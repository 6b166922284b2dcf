package media

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media/rtsp"
	"github.com/peephole-cam/peephole/media/sandbox"
	"github.com/peephole-cam/peephole/test/bubble"
)

// Errors of an RTSP camera are explained to the person who set it up, however deeply they are wrapped.
func TestRTSPErrorsAreExplained(t *testing.T) {
	for cause, want := range map[error]string{
		rtsp.ErrNoCredentials: "the camera wants a user name and a password: rtsp://USER:PASSWORD@HOST/…",
		rtsp.ErrCredentials:   "the camera refused the user name or the password",
		rtsp.ErrScheme: "the camera asks for the password in a way that is not supported: " +
			"set its RTSP authentication to Digest",
		rtsp.ErrNotRTSP: "there is no RTSP server at this address: check the port (most cameras use 554)",
		rtsp.ErrDescription: "the camera's description of its streams cannot be read: " +
			"update its firmware, or start with -transcode",
		rtsp.ErrNoVideo:   "the input has no video",
		rtsp.ErrTransport: "the camera supports neither TCP nor UDP: allow RTP unicast in its settings",
		rtsp.ErrRedirects: "the camera redirects to an address that does not work",
		rtsp.ErrCertificate: "the camera's certificate is not the one from before: " +
			"if you changed it, restart this program; otherwise someone may be intercepting the connection",
		rtsp.ErrTooLarge: "the camera's pictures are too large, more than 8 MB: " +
			"lower its resolution or bit rate",
		rtsp.ErrEnded:           "the camera ended the stream",
		rtsp.ErrTimeout:         "the camera does not answer",
		syscall.ECONNREFUSED:    "connection refused",
		syscall.EHOSTUNREACH:    "no route to host",
		syscall.ENETUNREACH:     "network is unreachable",
		&net.DNSError{}:         "the camera's host name is not known",
		tls.RecordHeaderError{}: "the camera does not speak TLS on this port: try rtsp:// instead of rtsps://",
		codec("H265"):           "the camera sends H.265: set its encoder to H.264, or start with -transcode",
		codec("JPEG"): "the input's video is not H.264 but JPEG: " +
			"set the encoder to H.264, or start with -transcode",
		status(403, "Forbidden"): "the camera forbids access to this stream (403)",
		status(404, "Nothing"):   "the camera has no stream under this path (404 Nothing)",
		status(453, ""):          "the camera has no room for another viewer (453): stop another program that reads it",
		status(500, "Oops"):      "the camera refused SETUP (500 Oops)",
	} {
		if got := explain(fmt.Errorf("connect: %w", cause)).Error(); got != want {
			t.Errorf("%v: says %q\nwant %q", cause, got, want)
		}
	}
}

func codec(name string) error { return &rtsp.CodecError{Codec: name} }

func status(code int, reason string) error {
	return &rtsp.StatusError{Method: "SETUP", Code: code, Reason: reason}
}

// Known complaints of ffmpeg are explained. Unknown ones are shown as they are.
func TestComplaintsOfFFmpegAreExplained(t *testing.T) {
	for said, want := range map[string]string{
		"method DESCRIBE failed: 401 Unauthorized": "the camera refused the user name or the password",
		"Server returned 403 Forbidden":            "the camera forbids access to this stream (403)",
		"Server returned 404 Not Found":            "the camera has no stream under this path (404)",
		"Connection timed out":                     "the camera does not answer",
		"Failed to resolve hostname cam":           "the camera's host name is not known",
		"Tag avc1 not compatible with flv": "the input's video is not H.264: " +
			"set the encoder to H.264, or start with -transcode",
		"Stream map '0:v:0' matches no streams.":   "the input has no video",
		"No such file or directory":                "no such file or device",
		"Permission denied":                        "permission denied",
		"Device or resource busy":                  "the device is in use by another program",
		"Invalid data found when processing input": "the input is not a video that ffmpeg reads",
		"What is this?":                            "ffmpeg: exit status 1: What is this?",
	} {
		lines := new(tail)
		fmt.Fprintln(lines, said)
		if got := lines.err(errors.New("exit status 1")).Error(); got != want {
			t.Errorf("%s: says %q\nwant %q", said, got, want)
		}
	}

	lines := new(tail)
	if got := lines.err(ErrNoPicture).Error(); got != "ffmpeg: ffmpeg made no picture" {
		t.Errorf("nothing: says %q", got)
	}
}

// A program can tell what is wrong with an input, whichever way it is read.
func TestFFmpegComplaintsAreTheErrorsOfRTSP(t *testing.T) {
	for said, want := range map[string]error{
		"401 Unauthorized":           rtsp.ErrCredentials,
		"Connection timed out":       rtsp.ErrTimeout,
		"Connection refused":         syscall.ECONNREFUSED,
		"'0:v:0' matches no streams": rtsp.ErrNoVideo,
		"No such file or directory":  fs.ErrNotExist,
		"Permission denied":          fs.ErrPermission,
	} {
		lines := new(tail)
		fmt.Fprintln(lines, said)
		if err := lines.err(errors.New("exit status 1")); !errors.Is(err, want) {
			t.Errorf("%s: %v is not %v", said, err, want)
		}
	}

	lines := new(tail)
	fmt.Fprintln(lines, "Tag hevc not compatible with flv")
	var codec *rtsp.CodecError
	if err := lines.err(nil); !errors.As(err, &codec) || codec.Codec != "H265" {
		t.Errorf("H.265: %v", err)
	}
}

func TestInputsOutOfRangeAreExplained(t *testing.T) {
	for name, want := range map[string]string{
		"test:31x32@15": "test pattern of 31x32, want even sizes of 32 to 4096: ",
		"test:32x32@0":  "test pattern of 0 frames per second, want 1 to 120: ",
		"": "want rtsp://…, rtsps://…, http://…, https://…, a file, /dev/videoN, /dev/v4l/by-id/…, " +
			"test or test:WIDTHxHEIGHT@FPS",
	} {
		if _, err := parseInput(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: says %v\nwant %q", name, err, want)
		}
	}
}

// If ffmpeg is only partly confined, the log says so.
func TestPartialConfinementIsLogged(t *testing.T) {
	for _, tt := range []struct {
		held sandbox.Held
		want string
	}{
		{sandbox.Held{Missing: []string{"TCP ports (landlock)"}},
			`msg="ffmpeg is confined in part" from="" not_from="TCP ports (landlock)"`},
	} {
		var log bytes.Buffer
		(&ffmpeg{log: slog.New(slog.NewTextHandler(&log, nil))}).logProtections(tt.held)
		if !strings.Contains(log.String(), tt.want) {
			t.Errorf("logged %s, want %s", &log, tt.want)
		}
	}
}

// While a keyframe is awaited, the message says how long that can take.
func TestWaitForAKeyframeSaysHowLong(t *testing.T) {
	const (
		unknown = "waiting for the camera's next keyframe, which can take 1 to 60 s: " +
			"to shorten the wait, set its keyframe interval (GOP) to 2 s"
		overdue = "waiting for the camera's next keyframe, and none has come for a minute: " +
			"set its keyframe interval (GOP) to 2 s"
	)

	for _, tt := range []struct {
		name           string
		period, waited time.Duration
		want           string
	}{
		{"no period was seen", 0, 59 * time.Second, unknown},
		{"no period was seen in a minute", 0, 61 * time.Second, overdue},
		{"a period was seen", 20 * time.Second, 21 * time.Second,
			"waiting for the camera's next keyframe, one comes every 20 s"},
		{"every picture is a keyframe", 40 * time.Millisecond, 0,
			"waiting for the camera's next keyframe, one comes every 1 s"},
		{"the period is no longer true", 2 * time.Second, 7 * time.Second, unknown},
		{"the period has not been true for a minute", 2 * time.Second, 61 * time.Second, overdue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				f := NewFeed(held{}, FeedOptions{})
				f.period, f.since = tt.period, time.Now()
				time.Sleep(tt.waited)
				if got := f.awaitKeyframe(errNoKeyframe).Error(); got != tt.want {
					t.Errorf("says %q\nwant %q", got, tt.want)
				}
			})
		})
	}
}

// The log says that an input has died, and why, and when the picture continues.
func TestDeathOfAnInputIsLogged(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := NewFeed(outOfOrder{}, FeedOptions{
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
		OnState: func(State) { cancel() },
	})
	_ = f.Run(ctx)
	if !strings.Contains(log.String(), `msg="input died"`) || !strings.Contains(log.String(), "out of order") {
		t.Errorf("logged %s", &log)
	}

	r := newReading(f, 0)
	r.explainTimer = time.NewTimer(time.Hour)
	r.bare = true
	r.explain()
	if got, want := f.State().Err.Error(),
		"the camera's pictures lack their parameter sets (SPS and PPS): restart the camera"; got != want {
		t.Errorf("says %q\nwant %q", got, want)
	}

	r.dropped = 2
	r.keyframe(clock.Now())
	if !strings.Contains(log.String(), `msg="the picture goes on at a keyframe" dropped=2`) {
		t.Errorf("logged %s", &log)
	}
}

// outOfOrder is a source that fails.
type outOfOrder struct{}

func (outOfOrder) Run(context.Context, func(AccessUnit)) error { return errors.New("out of order") }
