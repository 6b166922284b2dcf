package media

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/peephole-cam/peephole/redact"
)

// ErrInput is returned for the name of an input that does not follow the grammar of [Open].
var ErrInput = errors.New("want rtsp://…, rtsps://…, http://…, https://…, a file, /dev/videoN, " +
	"/dev/v4l/by-id/…, test or test:WIDTHxHEIGHT@FPS")

type inputKind uint8

const (
	inputRTSP inputKind = iota + 1
	inputHTTP
	inputFile
	inputDevice
	inputTest
)

// input is where pictures come from. A URL may carry a password, which String leaves out.
type input struct {
	kind          inputKind
	url           string // with credentials
	doubtful      bool   // what was read as a percent escape may be part of the password itself
	path          string // file or device
	width, height int    // test pattern, pixels
	rate          int    // test pattern, frames per second
}

var (
	schemeName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`) // RFC 3986, section 3.1
	devicePath  = regexp.MustCompile(`^/dev/(?:video[0-9]+|v4l/by-(?:id|path)/[\w.:+-]*\w)$`)
	testPattern = regexp.MustCompile(`^test(?::([0-9]{1,4})x([0-9]{1,4})@([0-9]{1,3}))?$`)
)

// parseInput reads the name of an input by the grammar in the doc comment of [Open]. Its error wraps ErrInput and never
// contains a password.
func parseInput(name string) (input, error) {
	scheme, _, isURL := strings.Cut(name, "://")
	switch {
	case name == "":
		return input{}, fmt.Errorf("parse input: empty: %w", ErrInput)
	case isURL && schemes[strings.ToLower(strings.TrimSpace(scheme))] != 0:
		return parseURL(schemes[strings.ToLower(strings.TrimSpace(scheme))], name)
	case isURL:
		if url, shown := suggest(name); url != "" {
			return input{}, newGuess("parse input: did you mean "+shown+"?", ErrInput, url, shown)
		}
		if !schemeName.MatchString(scheme) { // a password may have come before the ://
			return input{}, fmt.Errorf("parse input: what is before the :// is no scheme: %w", ErrInput)
		}
		return input{}, fmt.Errorf("parse input: scheme %q is not supported: %w", scheme, ErrInput)
	case devicePath.MatchString(name):
		return input{kind: inputDevice, path: name}, nil
	case name == "test" || strings.HasPrefix(name, "test:"):
		return parseTest(name)
	case strings.ContainsRune(name, 0):
		return input{}, fmt.Errorf("parse input: NUL in a file's name: %w", ErrInput)
	}

	return input{kind: inputFile, path: name}, nil
}

// schemes are the URL schemes that can be read.
var schemes = map[string]inputKind{"rtsp": inputRTSP, "rtsps": inputRTSP, "http": inputHTTP, "https": inputHTTP}

func parseTest(name string) (input, error) {
	in := input{kind: inputTest, width: 640, height: 360, rate: 15}
	m := testPattern.FindStringSubmatch(name)
	if url, shown := suggest(name); m == nil && strings.Contains(shown, "@") {
		return input{}, newGuess("parse input: did you mean "+shown+"?", ErrInput, url, shown)
	}
	if m == nil {
		return input{}, fmt.Errorf("parse input: test pattern %q: %w", redact.Text(name), ErrInput)
	}

	if m[1] != "" {
		in.width, _ = strconv.Atoi(m[1]) // digits only
		in.height, _ = strconv.Atoi(m[2])
		in.rate, _ = strconv.Atoi(m[3])
	}

	for _, side := range []int{in.width, in.height} {
		if side < 32 || side > 4096 || side%2 != 0 {
			return input{}, fmt.Errorf("parse input: test pattern of %dx%d, want even sizes of 32 to 4096: %w",
				in.width, in.height, ErrInput)
		}
	}

	if in.rate < 1 || in.rate > 120 {
		return input{}, fmt.Errorf("parse input: test pattern of %d frames per second, want 1 to 120: %w", in.rate,
			ErrInput)
	}
	return in, nil
}

// String names the input, without the credentials, path and query of a URL.
func (in input) String() string {
	switch in.kind {
	case inputRTSP, inputHTTP:
		return redact.Text(in.url)
	case inputTest:
		return fmt.Sprintf("test pattern of %dx%d, %d a second", in.width, in.height, in.rate)
	}
	return redact.Text(in.path) // it may be a URL that lacks its scheme
}
