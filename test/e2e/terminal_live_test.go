package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const delayedSentence = "Delayed: this picture is not live."

// watchToFile runs viewer watch until it is stopped, and returns when pictures have arrived in file.
func (v terminal) watchToFile(t *testing.T, name string) (p *process, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "watched.h264")
	p = start(t, "viewer", append(v.flags, "watch", name, "-o", file, "-json")...)
	eventually(t, "pictures come", func() bool { return size(file) > 0 })
	return p, file
}

// report ends viewer watch and returns what it prints.
func (p *process) report(t *testing.T) watched {
	t.Helper()
	p.stop()
	return outcome{stdout: p.line(t, "")}.parse(t)
}

// The terminal and its report say when the picture is no longer live, even if nothing more comes from a stopped camera.
func TestTerminalSaysWhenThePictureIsLiveNoLonger(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	cameras, links := startCameraSims(t, url, 1)
	v := newTerminal(t)
	v.pair(t, links["sim-0"])
	p, _ := v.watchToFile(t, "sim-0")
	halt(t, cameras)
	p.await(t, delayedSentence, 1)
	if r := p.report(t); r.Live || r.Frames == 0 {
		t.Errorf("of a camera that is stopped: %+v", r)
	}

	goOn(t, cameras)
	eventually(t, "the report says that the picture is live", func() bool { // on a busy machine it may not be
		p, _ := v.watchToFile(t, "sim-0")
		r := p.report(t)
		return r.Live && r.Delayed == 0 && !strings.Contains(p.said(), delayedSentence)
	})
}

// A terminal viewer that was stopped and goes on finds old pictures in its sockets, and calls none of them live.
func TestTerminalThatWasStoppedCallsNoOldPictureLive(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	_, links := startCameraSims(t, url, 1)
	v := newTerminal(t)
	v.pair(t, links["sim-0"])
	p, file := v.watchToFile(t, "sim-0")

	halt(t, p)
	stopped := time.Now()
	eventually(t, "what was sent at first is old", func() bool { return time.Since(stopped) > 10*time.Second })
	before := size(file)
	goOn(t, p)
	p.await(t, delayedSentence, 1)
	eventually(t, "pictures come again", func() bool { return size(file) > before })
	if r := p.report(t); r.Delayed == 0 {
		t.Errorf("%d of %d delayed, want some", r.Delayed, r.Frames)
	}
}

// A snapshot that takes so long that its picture is no longer live is not written.
func TestSlowSnapshotIsNotWritten(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}

	url := startRelayCommand(t)
	v := newTerminal(t)
	v.pair(t, startCameraSim(t, url, 1)["sim-0"])
	for _, tt := range []struct {
		name, before string
		written      bool
	}{
		{"quick", "", true},
		{"slow", "sleep 6\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			programs, file := t.TempDir(), filepath.Join(t.TempDir(), "picture.jpg")
			script := "#!/bin/sh\n" + tt.before + "exec " + ffmpeg + ` "$@"` + "\n"
			if err := os.WriteFile(filepath.Join(programs, "ffmpeg"), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			snapshot := func() outcome {
				return v.runIn(t, append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH")), "", "snapshot", "sim-0",
					"-o", file, "-timeout", "20s")
			}
			if tt.written {
				eventually(t, "a snapshot is written", func() bool { return snapshot().code == 0 && size(file) > 0 })
				return
			}

			snapshot().fails(t, "no live picture within 20s: this computer takes too long")
			if size(file) > 0 {
				t.Errorf("%d bytes were written", size(file))
			}
		})
	}
}
