package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/viewer"
)

// A mistake that is plain without the camera is answered at once, and makes no file.
func TestMistakesOfGetAreAdvised(t *testing.T) {
	state, folder := paired(t, "porch"), t.TempDir()
	target := filepath.Join(folder, "link")
	if err := os.Symlink(os.DevNull, target); err != nil {
		t.Skip("this system makes no symbolic links")
	}
	missing := filepath.Join(folder, "no", "log.txt")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "get takes one or two arguments, NAME and ID: see viewer get -h"},
		{[]string{"porch", "log", "picture"}, "get takes one or two arguments, NAME and ID: see viewer get -h"},
		{[]string{"porch", "log", "-o", "-"},
			"get cannot write to standard output, since a transfer that broke goes on in its file: say -o FILE"},
		{[]string{"porch", "-o", "log.txt"}, "no ID of what to get: leave out -o to list what there is"},
		{[]string{"porch", "log", "-o", folder},
			"-o " + folder + " is a folder: say -o " + filepath.Join(folder, "FILE")},
		{[]string{"porch", "log", "-o", "no-such-folder/"},
			"-o no-such-folder/ is a folder: say -o " + filepath.Join("no-such-folder", "FILE")},
		{[]string{"porch", "log", "-o", target},
			"-o " + target + " is no file that could go on later: choose another name"},
		{[]string{"porch", "log", "-o", missing}, "; mend that, or choose another file with -o"},
		{[]string{"porch", "log", "-timeout", "0", "-o", "log.txt"}, "-timeout 0: want 1s to 1h; see viewer get -h"},
		{[]string{"attic", "log", "-o", filepath.Join(folder, "log.txt")},
			"no camera of that name is paired: see viewer list"},
		{[]string{"attic"}, "no camera of that name is paired: see viewer list"},
		{[]string{"attic", "log"}, "no camera of that name is paired: see viewer list"},
		{[]string{"attic", "Log", "-o", filepath.Join(folder, "log.txt")},
			"no camera of that name is paired: see viewer list"},
	} {
		said, err := viewerSays(t, append([]string{"-state", state, "get"}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || said != "" {
			t.Errorf("%q: says %q, %v\nwant %q", tt.args, said, err, tt.want)
		}
	}

	made, err := os.ReadDir(folder)
	if err != nil || len(made) != 1 {
		t.Errorf("%v were made, %v", made, err)
	}
}

// What ends a transfer says what to do, and that nothing which arrived is lost.
func TestEndOfATransferIsExplained(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	refused := func(code, text string) error {
		return fmt.Errorf(`get "log" from "porch": %w`, &session.Refusal{Code: code, Text: text})
	}
	full := fmt.Errorf(`get "log": write download: %w`, bulk.ErrDiskFull)

	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		done int64
		want string
	}{
		{"Ctrl-C", stopped, context.Canceled, 1e6,
			"interrupted; log.txt.part keeps 1.0 of 2.0 MB, and the same command goes on"},
		{"Ctrl-C at once", stopped, context.Canceled, 0, "interrupted before anything arrived"},
		{"a full disk", t.Context(), full, 1e6,
			"the disk is full: make room for log.txt and run the same command again; log.txt.part keeps what arrived"},
		{"an old camera", t.Context(),
			refused("refused", "The camera could not start a session: parse offer: malformed session message."), 0,
			"porch is too old to be asked for more than pictures: update it"},
		{"a camera that offers nothing", t.Context(),
			refused(session.BulkRefusal, "This camera offers nothing to fetch."), 0,
			"porch offers nothing to get: update its program, or have it offer something"},
		{"another refusal", t.Context(), refused("busy", "This camera is being watched from too many places."), 0,
			`get "log" from "porch": This camera is being watched from too many places.`},
		{"a broken connection", t.Context(), bulk.ErrForged, 1e6, bulk.ErrForged.Error() +
			"; log.txt.part keeps 1.0 of 2.0 MB, and the same command goes on"},
		{"no answer", t.Context(), session.ErrNoAnswer, 0, session.ErrNoAnswer.Error()},
	} {
		bar := &progress{name: "log", stderr: &bytes.Buffer{}}
		bar.report(tt.done, 2e6)
		g := &getting{name: "porch", id: "log", output: "log.txt", bar: bar}
		if err := g.explain(tt.ctx, tt.err); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

// An ID that the camera does not have is answered with those that it has.
func TestUnknownIDIsAdvised(t *testing.T) {
	var offered []bulk.Info
	for n := range 3 * maxIDs {
		offered = append(offered, bulk.Info{ID: fmt.Sprintf("film-%d", n)})
	}
	g := &getting{name: "porch", id: "Film"}
	for n, want := range map[int]string{
		0:          "porch has nothing to get now: try again later",
		2:          `porch has no "Film": say one of film-0, film-1`,
		maxIDs + 1: `porch has no "Film": run viewer get with its name alone to see all 9 things that it has`,
	} {
		if err := g.notAmong(offered[:n]); err.Error() != want {
			t.Errorf("of %d: %v\nwant %s", n, err, want)
		}
	}
}

func TestOfferedThingsAreListed(t *testing.T) {
	var said bytes.Buffer
	err := printOffered(&said, []bulk.Info{
		{ID: "log", Name: "peephole-log.txt", Size: 123_456},
		{ID: "recordings/1", Name: "\x1b[2Jfront door.mp4", Size: -1},
	})
	const want = "ID            SIZE    FILE\n" +
		"log           123 kB  peephole-log.txt\n" +
		"recordings/1  ?       ?[2Jfront door.mp4\n"
	if err != nil || said.String() != want {
		t.Errorf("says\n%s, %v; want\n%s", &said, err, want)
	}
}

// The camera's name for a file is suggested if it is one that a shell leaves as it is, and none that escapes.
func TestOutputIsSuggested(t *testing.T) {
	g := &getting{name: "porch", id: "log"}
	for name, want := range map[string]string{
		"peephole-log.txt":             "no output file: say -o peephole-log.txt",
		"Zm9vYmFyYmF6cXV4c2VjcmV0.txt": "no output file: say -o FILE", // the error would not show it
		"front door.txt":               "no output file: say -o FILE",
		"../log.txt":                   "no output file: say -o FILE",
		".bashrc":                      "no output file: say -o FILE",
		"-rf":                          "no output file: say -o FILE",
		"$(reboot)":                    "no output file: say -o FILE",
		"log.txt\n":                    "no output file: say -o FILE",
		"":                             "no output file: say -o FILE",
	} {
		err := g.outputError([]bulk.Info{{ID: "picture", Name: "picture.h264"}, {ID: "log", Name: name}})
		if err.Error() != want {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	if err := g.outputError([]bulk.Info{{ID: "picture"}}); err.Error() != `porch has no "log": say one of picture` {
		t.Error(err)
	}
}

// waiting is a getting whose terminal is said.
func waiting(said *bytes.Buffer) *getting {
	bar := &progress{name: "log", stderr: said}
	return &getting{
		command:  &command{stderr: bar},
		name:     "porch",
		output:   "log.txt",
		timeout:  getTimeout,
		bar:      bar,
		rejected: rejections{stderr: bar},
	}
}

// A person who waits reads what for, and after the timeout how to wait longer.
func TestWaitingForACameraIsExplained(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		err := waiting(&said).connect(t.Context(), func(ctx context.Context, _ viewer.Get) error {
			<-ctx.Done()
			return ctx.Err()
		})
		const want = "no connection to the camera within 30s: run viewer doctor, or say -timeout 2m0s to wait longer"
		if err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		if begins := "connecting to the camera (28 s left)\nconnecting to the camera (24 s left)\n"; !strings.HasPrefix(
			said.String(), begins) {
			t.Errorf("said %q, want %q", &said, begins)
		}
	})
}

// Once connected, a transfer may take as long as it takes, and a connection that breaks is replaced.
func TestTransferMayTakeLong(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		err := waiting(&said).connect(t.Context(), func(ctx context.Context, options viewer.Get) error {
			options.OnPath(true)
			options.OnProgress(1e6, 2e6)
			time.Sleep(2 * getTimeout)
			options.OnRetry(session.ErrLost)
			time.Sleep(2 * getTimeout)
			options.OnPath(false)
			options.OnReject(session.Rejection{})
			return ctx.Err()
		})
		want := "getting log (2.0 MB)\n" + session.ErrLost.Error() + "; trying again\n" +
			session.Rejection{}.Text() + "\n"
		if err != nil || said.String() != want {
			t.Errorf("said %q, %v; want %q", &said, err, want)
		}
	})
}
