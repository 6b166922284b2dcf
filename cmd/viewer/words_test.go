package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/viewer"
)

// paired returns the state directory of a viewer that is paired with cameras of these names.
func paired(t *testing.T, names ...string) (state string) {
	t.Helper()
	state = t.TempDir()
	self, err := identity.LoadOrCreate(state)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range names {
		camera, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}
		pair := &envelope.Pair{Self: self, Role: identity.Viewer, Peer: camera.Bundle()}
		record := pairing.Record{Pair: pair, RelayURL: "https://relay.example", Name: name, PairedAt: time.Now()}
		if err := pairing.NewStore(state, self, identity.Viewer).Put(record); err != nil {
			t.Fatal(err)
		}
	}

	return state
}

// viewerSays runs the command, and returns what it prints and its error.
func viewerSays(t *testing.T, args ...string) (said string, err error) {
	var out bytes.Buffer
	err = run(t.Context(), args, strings.NewReader(""), &out, &out)
	return out.String(), err
}

// A mistake on the command line is answered with what to do.
func TestMistakesAreAdvised(t *testing.T) {
	one, two := paired(t, "porch"), paired(t, "porch", "porch")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-state", one, "peep"}, `unknown command "peep": see viewer -h`},
		{[]string{"-state", one, "watch", "attic"}, "no camera of that name is paired: see viewer list"},
		{[]string{"-state", two, "watch", "porch"},
			"several paired cameras have that name: use the id that viewer list shows"},
		{[]string{"-state", one, "list", "porch"}, "list takes no argument: see viewer list -h"},
		{[]string{"-state", one, "forget"}, "forget takes one argument, NAME: see viewer forget -h"},
		{[]string{"-state", one, "snapshot", "porch"}, "no output file: say -o FILE.jpg"},
		{[]string{"-state", one, "watch", "porch", "-json", "-o", "-"},
			"-json and -o - both write to standard output: write the stream to a file instead"},
		{[]string{"-state", paired(t), "doctor"}, "no relay to test: pair with a camera first, or say -relay URL"},
		{[]string{"-state", one}, "no command: see viewer -h"},
		{[]string{"-state", one, "-log-level", "loud", "list"},
			`-log-level "loud": want debug, info, warn or error`},
		{[]string{"-state", one, "-log-format", "xml", "list"}, `want "text" or "json"`},
	} {
		if _, err := viewerSays(t, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: says %v\nwant %q", tt.args[2:], err, tt.want)
		}
	}
}

func TestMissingHomeDirectoryIsAdvised(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
	}
	const want = "no home directory to keep keys in: say -state DIR"
	if _, err := viewerSays(t, "list"); err == nil || err.Error() != want {
		t.Errorf("says %v\nwant %q", err, want)
	}
}

func TestSnapshotWithoutFFmpegIsAdvised(t *testing.T) {
	state := paired(t, "porch")
	t.Setenv("PATH", t.TempDir())
	const want = "a JPEG needs ffmpeg: run apt-get install ffmpeg"
	if _, err := viewerSays(t, "-state", state, "snapshot", "porch", "-o", "x.jpg"); err == nil || err.Error() != want {
		t.Errorf("says %v\nwant %q", err, want)
	}
}

func TestListSaysWhatIsPaired(t *testing.T) {
	state := paired(t, "porch")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"list"}, "NAME   ID"},
		{[]string{"forget", "porch"}, "forgot porch on this device\n"},
		{[]string{"list"}, "no cameras yet: pair one with viewer pair URI\n"},
	} {
		said, err := viewerSays(t, append([]string{"-state", state}, step.args...)...)
		if err != nil || !strings.Contains(said, step.want) {
			t.Errorf("%q: says %q, %v\nwant %q", step.args, said, err, step.want)
		}
	}
}

// damagePair adds another pair's file to a viewer's state, and damages it.
func damagePair(t *testing.T, state string) {
	t.Helper()
	path := filepath.Join(state, "pairs", "AAAAAAAAAAAAAAAAAAAAAA.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A camera with a damaged file is reported, and does not hide the others.
func TestDamagedCameraIsReported(t *testing.T) {
	state := paired(t, "porch")
	damagePair(t, state)
	said, err := viewerSays(t, "-state", state, "list")
	if err != nil || !strings.Contains(said, "porch") ||
		!strings.Contains(said, `msg="some cameras cannot be watched"`) {
		t.Errorf("says %q, %v", said, err)
	}
}

// Before anything is sent, a person reads where the code leads.
func TestCodeIsExplainedBeforeItIsUsed(t *testing.T) {
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	code, err := pairing.NewCode("https://relay.example", identity.Camera, self.Bundle(), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}

	v, err := viewer.Open(viewer.Config{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}

	var said bytes.Buffer
	c := &command{viewer: v, stdin: strings.NewReader(""), stderr: &said}
	if err := c.confirm(t.Context(), code, true, bufio.NewReader(c.stdin)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Add a NEW camera?\n\n  words  ",
		"\n  relay  https://relay.example\n",
		"This code has expired by this machine's clock. If it does not work, show a new one.\n",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("says %q\nwant %q", &said, want)
		}
	}
}

// When it ends, watch says what it received.
func TestWatchSaysWhatItReceived(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    *watching
		err  error
		want string
	}{
		{"everything", &watching{report: report{Frames: 3, Bytes: 9000}}, nil, "3 frames, 9 kB in "},
		{"everything, and something foreign", &watching{report: report{Frames: 3}, rejected: rejections{n: 1}}, nil,
			"the relay also delivered 1 thing that is not from your camera: tell its operator\n"},
		{"less", &watching{frames: 4, report: report{Frames: 3}}, errIncomplete,
			"not everything you asked for arrived: 3 frames"},
		{"less, and the camera said why", &watching{trouble: "no video: the camera does not answer"}, errIncomplete,
			"not everything you asked for arrived: 0 frames; the camera says: no video: the camera does not answer"},
		{"a file with a gap", &watching{output: "x.h264", report: report{Frames: 3, Missing: 2}}, errMissing,
			"the file has gaps, try again: frames did not arrive (2)"},
	} {
		var said bytes.Buffer
		tt.w.command = &command{stderr: &said}
		err := tt.w.result(nil)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: returns %v, want %v", tt.name, err, tt.err)
		}

		if err != nil {
			said.WriteString(err.Error())
		}
		if !strings.Contains(said.String(), tt.want) {
			t.Errorf("%s: says %q\nwant %q", tt.name, &said, tt.want)
		}
	}
}
