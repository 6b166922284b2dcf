package media

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/peephole-cam/peephole/media/rtsp"
	"github.com/peephole-cam/peephole/redact"
)

const (
	maxTailLines = 8
	maxTailLine  = 512 // bytes
)

// tail keeps the last lines that a program wrote to its standard error. One goroutine writes it; reading must wait
// until that is done.
type tail struct {
	lines []string
	line  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' || b == '\r':
			t.endLine()
		case len(t.line) < maxTailLine:
			t.line = append(t.line, b)
		}
	}
	return len(p), nil
}

func (t *tail) endLine() {
	line := strings.TrimSpace(string(t.line))
	if len(t.line) == maxTailLine { // a URL may have been cut off in its password
		line, _, _ = strings.Cut(line, "://")
	}
	if line != "" {
		t.lines = append(t.lines, redact.Text(line)) // now, while the line is whole
		if len(t.lines) > maxTailLines {
			t.lines = t.lines[1:]
		}
	}
	t.line = t.line[:0]
}

const untrusted = "the camera's certificate is not trusted here: use its rtsp:// or rtsps:// address"

// complaints are phrases in ffmpeg's messages, what they mean to the person who set up the camera, and the error that a
// program can test for: the one that the RTSP client returns in the same case, if there is one.
var complaints = []struct {
	ffmpeg, means string
	err           error
}{
	{"401 Unauthorized", "the camera refused the user name or the password", rtsp.ErrCredentials},
	{"403 Forbidden", "the camera forbids access to this stream (403)", &rtsp.StatusError{Code: 403}},
	{"404 Not Found", "the camera has no stream under this path (404)", &rtsp.StatusError{Code: 404}},
	{"ertificate failed verification", untrusted, nil}, // by GnuTLS
	{"certificate verify failed", untrusted, nil},      // by OpenSSL
	{"Connection refused", "connection refused", syscall.ECONNREFUSED},
	{"No route to host", "no route to host", syscall.EHOSTUNREACH},
	{"Network is unreachable", "network is unreachable", syscall.ENETUNREACH},
	{"Connection timed out", "the camera does not answer", rtsp.ErrTimeout},
	{"Failed to resolve hostname", "the camera's host name is not known", nil},
	{"hevc not compatible with flv", "the camera sends H.265: set its encoder to H.264, or start with -transcode",
		&rtsp.CodecError{Codec: "H265"}},
	{"not compatible with flv", "the input's video is not H.264: set the encoder to H.264, or start with -transcode",
		&rtsp.CodecError{Codec: "UNKNOWN"}},
	{"matches no streams", "the input has no video", rtsp.ErrNoVideo},
	{"No such file or directory", "no such file or device", fs.ErrNotExist},
	{"Permission denied", "permission denied", fs.ErrPermission},
	{"Device or resource busy", "the device is in use by another program", syscall.EBUSY},
	{"Invalid data found", "the input is not a video that ffmpeg reads", nil},
}

// reason returns the meaning of the last complaint that is known; nil if there is none.
func (t *tail) reason() error {
	t.endLine()
	for n := len(t.lines) - 1; n >= 0; n-- {
		for _, c := range complaints {
			if strings.Contains(t.lines[n], c.ffmpeg) {
				return explained{c.means, c.err}
			}
		}
	}
	return nil
}

// err returns the error to show when the program has ended with exit: what its complaint means if that is known, or
// else its last lines.
func (t *tail) err(exit error) error {
	if why := t.reason(); why != nil {
		return why
	}
	if len(t.lines) == 0 {
		return fmt.Errorf("ffmpeg: %w", exit)
	}
	return fmt.Errorf("ffmpeg: %w: %s", exit, strings.Join(t.lines, "; "))
}
