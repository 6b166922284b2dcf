package media

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// ErrInput says that an input's name is not one of the grammar of [ParseInput].
var ErrInput = errors.New("want rtsp://…, rtsps://…, a file, /dev/videoN, test or test:WIDTHxHEIGHT@FPS")

type inputKind uint8

const (
	inputRTSP inputKind = iota + 1
	inputFile
	inputDevice
	inputTest
)

// Input names where pictures come from. An RTSP URL may carry a password: String leaves it out.
type Input struct {
	kind          inputKind
	url           string // RTSP, with credentials
	path          string // file or device
	width, height int    // test pattern, pixels
	rate          int    // test pattern, frames per second
}

var (
	devicePath  = regexp.MustCompile(`^/dev/video[0-9]+$`)
	testPattern = regexp.MustCompile(`^test(?::([0-9]{1,4})x([0-9]{1,4})@([0-9]{1,3}))?$`)
)

// ParseInput reads the name of an input:
//
//	rtsp://[user:password@]host[:port]/path   an IP camera, read over TCP (rtsps: over TLS)
//	/dev/videoN                               a V4L2 device, encoded here
//	test, test:640x360@15                     ffmpeg's test pattern: even sizes of 32 to 4096 pixels, 1 to 120 frames per second
//	anything else                             a file: .h264 and .264 are read as they are, all others through ffmpeg
//
// The error wraps ErrInput and never holds a password.
func ParseInput(name string) (Input, error) {
	scheme, _, isURL := strings.Cut(name, "://")
	switch {
	case name == "":
		return Input{}, fmt.Errorf("parse input: empty: %w", ErrInput)
	case isURL && (scheme == "rtsp" || scheme == "rtsps"):
		return parseRTSP(name)
	case isURL:
		return Input{}, fmt.Errorf("parse input: scheme %q is not supported: %w", scheme, ErrInput)
	case devicePath.MatchString(name):
		return Input{kind: inputDevice, path: name}, nil
	case name == "test" || strings.HasPrefix(name, "test:"):
		return parseTest(name)
	case strings.ContainsRune(name, 0):
		return Input{}, fmt.Errorf("parse input: NUL in a file's name: %w", ErrInput)
	}
	return Input{kind: inputFile, path: name}, nil
}

// parseRTSP lets no URL pass whose password [redact] might not see the end of.
func parseRTSP(name string) (Input, error) {
	u, err := url.Parse(name)
	odd := func(r rune) bool { return r <= ' ' || r == '#' || r > unicode.MaxASCII }
	if err != nil || u.Hostname() == "" || strings.ContainsFunc(name, odd) {
		return Input{}, fmt.Errorf("parse input: not a URL with a host (in a password, write %%25, %%40, %%2F, %%23 and %%3F for %% @ / # and ?): %w", ErrInput)
	}
	return Input{kind: inputRTSP, url: strings.NewReplacer("'", "%27", `"`, "%22").Replace(name)}, nil
}

func parseTest(name string) (Input, error) {
	in := Input{kind: inputTest, width: 640, height: 360, rate: 15}
	m := testPattern.FindStringSubmatch(name)
	if m == nil {
		return Input{}, fmt.Errorf("parse input: test pattern %q: %w", name, ErrInput)
	}
	if m[1] != "" {
		in.width, _ = strconv.Atoi(m[1]) // digits only
		in.height, _ = strconv.Atoi(m[2])
		in.rate, _ = strconv.Atoi(m[3])
	}
	for _, side := range []int{in.width, in.height} {
		if side < 32 || side > 4096 || side%2 != 0 {
			return Input{}, fmt.Errorf("parse input: test pattern of %dx%d, want even sizes of 32 to 4096: %w", in.width, in.height, ErrInput)
		}
	}
	if in.rate < 1 || in.rate > 120 {
		return Input{}, fmt.Errorf("parse input: test pattern of %d frames per second, want 1 to 120: %w", in.rate, ErrInput)
	}
	return in, nil
}

// String names the input without credentials, path or query of a URL.
func (in Input) String() string {
	switch in.kind {
	case inputRTSP:
		return redact(in.url)
	case inputTest:
		return fmt.Sprintf("test:%dx%d@%d", in.width, in.height, in.rate)
	}
	return in.path
}

// InputOptions says how an Input is read.
type InputOptions struct {
	Transcode bool   // encode anew, to Baseline without B-frames
	Once      bool   // a file ends with its end and does not begin again
	FFmpeg    string // the program; "ffmpeg" on the PATH if empty
}

// Open returns a Source of the input. Nothing runs yet. It returns ErrNoFFmpeg if the input needs ffmpeg and it is
// not there. The input itself is opened by the Source's Run.
func (in Input) Open(o InputOptions) (Source, error) {
	if in.kind == 0 {
		return nil, fmt.Errorf("open input: %w", ErrInput)
	}
	if ext := strings.ToLower(filepath.Ext(in.path)); in.kind == inputFile && !o.Transcode && (ext == ".h264" || ext == ".264") {
		return fileSource{path: in.path, once: o.Once}, nil
	}
	return openFFmpeg(in, o)
}

var anyURL = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s'"]*)`)

// redact cuts user, password, path and query out of all URLs of a text.
func redact(text string) string {
	return anyURL.ReplaceAllStringFunc(text, func(found string) string {
		scheme, rest, _ := strings.Cut(found, "://")
		if i := strings.LastIndexByte(rest, '@'); i >= 0 { // wherever it stands: better too little than a password
			rest = rest[i+1:]
		}
		host, _, more := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		if more {
			host += "/…"
		}
		return scheme + "://" + host
	})
}
