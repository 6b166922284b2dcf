package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/reserve"
)

// disk is a small file system that only one process sees, in a mount namespace of its own.
type disk struct {
	t    *testing.T
	at   string // where that process sees it
	root string // where this process sees the other's files; empty: it has not started
}

// newDisk returns a disk for a process that has not started yet.
func newDisk(t *testing.T) *disk { return &disk{t: t, at: t.TempDir()} }

// start starts a command that sees the disk.
func (d *disk) start(cmd *exec.Cmd) error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	script := `mount -t tmpfs -o size=128k,mode=0700 tmpfs "$0" && exec "$@"`
	cmd.Args = append([]string{unshare, "-m", "sh", "-c", script, d.at, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = unshare
	err = natlab.StartOutside(d.t.Cleanup, cmd)
	if err == nil {
		d.root = fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)
	}

	return err
}

// fill leaves no room on the disk.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.path("filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()

	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// clear makes room again.
func (d *disk) clear() {
	d.t.Helper()
	if err := os.Remove(d.path("filler")); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) path(name string) string { return filepath.Join(d.root+d.at, name) }

// A camera whose disk is full shows no code and says why; whoever scans the last one reads it too. With room again
// everything continues by itself. A viewer that was paired before watches throughout.
func TestCameraOnAFullDisk(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	d := newDisk(t)
	camera := startBy(t, d.start, "camera-sim", "-relay", url, "-state", d.at, "-pair-more")
	first, second := newTerminal(t), newTerminal(t)
	first.ok(t, "pair", camera.line(t, "pair sim-0 "))
	camera.line(t, "paired sim-0 ")
	link := camera.line(t, "pair sim-0 ")

	d.fill()
	second.run(t, "pair", link).fails(t, pairing.ErrUnsaved.Error())
	camera.await(t, "no code is shown, since a new viewer could not be saved", 1)
	for _, sentence := range []string{"the viewer could not be saved", "the disk is full: make room there"} {
		camera.await(t, sentence, 1)
	}

	first.ok(t, "watch", "sim-0", "-frames", "5")

	d.clear()
	second.ok(t, "pair", camera.line(t, "pair sim-0 "))
	second.ok(t, "watch", "sim-0", "-frames", "5")
	if kept, err := os.ReadDir(d.path("sim-0/pairs")); err != nil || len(kept) != 2 {
		t.Errorf("kept %v (%v), want two pairs", kept, err)
	}
}

// A viewer checks its disk before its camera counts it as paired.
func TestViewerOnAFullDisk(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	camera, links := startCameraSims(t, url, 1)
	d := newDisk(t)
	full := startBy(t, func(cmd *exec.Cmd) error {
		script := `"$0" -state "$1" list && head -c 1M /dev/zero >"$1/filler"
			"$0" -state "$1" pair "$2"; echo "exit $?"`
		cmd.Args = []string{"sh", "-c", script, cmd.Path, d.at, links["sim-0"]}
		cmd.Path = "/bin/sh"
		return d.start(cmd)
	}, "viewer")

	full.line(t, "exit 1")
	full.await(t, "the disk is full: make room there", 1)
	if strings.Contains(camera.said(), "refused") {
		t.Errorf("the camera heard of it: %s", camera.said())
	}
	newTerminal(t).ok(t, "pair", links["sim-0"])
}

// A camera on a read-only disk serves its paired viewers, and says in one sentence that nothing can be saved.
func TestCameraOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	state := t.TempDir()
	before := start(t, "camera-sim", "-relay", url, "-state", state)
	v := newTerminal(t)
	v.ok(t, "pair", before.line(t, "pair sim-0 "))
	before.line(t, "paired sim-0 ")
	before.stop()

	after := startBy(t, func(cmd *exec.Cmd) error {
		script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`
		cmd.Args = append([]string{"unshare", "-m", "sh", "-c", script, state, cmd.Path}, cmd.Args[1:]...)
		var err error
		if cmd.Path, err = exec.LookPath("unshare"); err != nil {
			return err
		}
		return natlab.StartOutside(t.Cleanup, cmd)
	}, "camera-sim", "-relay", url, "-state", state, "-pair-more")

	after.await(t, "the folder is read-only: make it writable", 1)
	v.ok(t, "watch", "sim-0", "-frames", "5")
}

// A relay that has nothing to save starts on a full disk, even if its output goes there.
func TestRelayOnAFullDisk(t *testing.T) {
	t.Parallel()
	d, address := newDisk(t), reserve.For(t)
	relay := startBy(t, func(cmd *exec.Cmd) error {
		command := append([]string{cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `head -c 1M /dev/zero >"$0/filler"; exec "$@" >/dev/full`, d.at},
			command...)
		return d.start(cmd)
	}, "relay", "serve", "-loopback-unlimited", "-listen", address, "-turn", "127.0.0.1:0", "-state", d.at)

	relay.await(t, "nothing can be saved in the state folder", 1)
	relay.await(t, "messages that wait for a device are kept in memory, and a restart loses them", 1)
	relay.await(t, "msg=serving", 1)

	camera, links := startCameraSims(t, "http://"+address, 1)
	v := newTerminal(t)
	v.ok(t, "pair", links["sim-0"])
	v.ok(t, "watch", "sim-0", "-frames", "5")
	camera.stop()
}
