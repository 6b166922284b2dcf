package media

import (
	"errors"
	"fmt"
	"strings"
)

const (
	tailLines = 8
	tailLine  = 512 // bytes
)

// tail keeps the last lines of what a program wrote to its standard error. It is written by one goroutine, and read
// when that is done.
type tail struct {
	lines []string
	line  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' || b == '\r':
			t.end()
		case len(t.line) < tailLine:
			t.line = append(t.line, b)
		}
	}
	return len(p), nil
}

func (t *tail) end() {
	line := strings.TrimSpace(string(t.line))
	if len(t.line) == tailLine { // a URL that is cut off may be cut in its password
		line, _, _ = strings.Cut(line, "://")
	}
	if line != "" {
		t.lines = append(t.lines, line)
		if len(t.lines) > tailLines {
			t.lines = t.lines[1:]
		}
	}
	t.line = t.line[:0]
}

// complaints are what ffmpeg says, and what it means to the person who set up the camera.
var complaints = []struct{ ffmpeg, means string }{
	{"401 Unauthorized", "the camera refused the user name or the password"},
	{"403 Forbidden", "the camera forbids access to this stream (403)"},
	{"404 Not Found", "the camera has no stream under this path (404)"},
	{"Connection refused", "connection refused"},
	{"No route to host", "no route to host"},
	{"Network is unreachable", "network is unreachable"},
	{"Connection timed out", "the camera does not answer"},
	{"Failed to resolve hostname", "the camera's host name is not known"},
	{"hevc not compatible with flv", "the camera sends H.265: set its encoder to H.264, or start with -transcode"},
	{"not compatible with flv", "the input's video is not H.264: set the encoder to H.264, or start with -transcode"},
	{"matches no streams", "the input has no video"},
	{"No such file or directory", "no such file or device"},
	{"Permission denied", "permission denied"},
	{"Device or resource busy", "the device is in use by another program"},
	{"Invalid data found", "the input is not a video that ffmpeg reads"},
}

// reason is the meaning of the known complaint that came last, "" if there is none.
func (t *tail) reason() string {
	t.end()
	for n := len(t.lines) - 1; n >= 0; n-- {
		for _, c := range complaints {
			if strings.Contains(t.lines[n], c.ffmpeg) {
				return c.means
			}
		}
	}
	return ""
}

// err is what a person is told when the program ended with exit: its meaning if known, or else its last lines, without
// credentials.
func (t *tail) err(exit error) error {
	if why := t.reason(); why != "" {
		return errors.New(why)
	}
	if len(t.lines) == 0 {
		return fmt.Errorf("ffmpeg: %w", exit)
	}
	return fmt.Errorf("ffmpeg: %w: %s", exit, redact(strings.Join(t.lines, "; ")))
}
