package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// SIGHUP ends no process and no session: viewers see the camera's next input, which it has read by then.
func TestHangupEndsNobody(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, "127.0.0.1:0")
	sims, _ := startCameraSims(t, url, 1)

	dir := t.TempDir()
	list := filepath.Join(dir, "porch.input")
	writeInput(t, list, "clip0.h264")
	stdin, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}

	defer stdin.Close()
	camera := startBy(t, func(cmd *exec.Cmd) error {
		cmd.Stdin = stdin
		return natlab.StartOutside(t.Cleanup, cmd)
	}, "camera", "-relay", url, "-state", t.TempDir(), "-name", "porch", "-input", "-")
	v := newTerminal(t)
	v.ok(t, "pair", camera.line(t, "pair porch "))

	film := filepath.Join(dir, "porch.h264")
	viewer := start(t, "viewer", append(v.flags, "watch", "porch", "-o", film)...)
	eventually(t, "the viewer writes what it sees", func() bool { return size(film) > 0 })
	writeInput(t, list, "clip1.h264")
	for _, p := range []*process{relay, sims, camera, viewer} {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	for _, p := range []*process{relay, sims, camera} {
		p.await(t, "msg=\"reloaded the ", 1)
	}

	camera.await(t, "input is live", 2)
	seen := size(film)
	eventually(t, "the viewer goes on", func() bool { return size(film) > seen })
}

// writeInput names a clip as a camera's input in the way of editors: it writes another file and renames it.
func writeInput(t *testing.T, path, clip string) {
	t.Helper()
	clip, err := filepath.Abs(filepath.Join("..", "..", "media", "clips", clip))
	if err == nil {
		err = os.WriteFile(path+".new", []byte(clip+"\n"), 0o600)
	}

	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}
