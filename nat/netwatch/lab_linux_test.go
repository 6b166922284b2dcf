//go:build linux && !android

package netwatch

import (
	"context"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// TestKernelReportsMoves: a real device moves to another network, and is switched off and on there.
func TestKernelReportsMoves(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	lab := natlab.New(t)
	device, other := lab.Behind("device", natlab.DualStack), lab.Behind("other", natlab.PortRestricted).Network()
	var k *kernel
	if err := device.Do(func() (err error) { k, err = openKernel(); return err }); err != nil {
		t.Fatal(err)
	}

	var there, off atomic.Bool
	w := &watcher{networks: func() (all []network, err error) {
		err = device.Do(func() (err error) { all, err = networks(); return err })
		there.Store(err == nil && len(all) > 0)
		off.Store(err == nil && len(all) == 0)
		return all, err
	}}
	ended := make(chan struct{})
	w.listen = func(ctx context.Context, look func() bool) error {
		defer close(ended)
		return k.report(ctx, look)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); <-ended }()
	changed := w.changes(ctx)

	eventually(t, "the first look", there.Load)
	device.Move(other)
	await(t, "a move", changed)

	turn(t, device, "eth1", "down")
	eventually(t, "no network", off.Load)
	select {
	case <-changed: // the rest of the move
	default:
	}
	turn(t, device, "eth1", "up")
	await(t, "the network again", changed)
}

// turn turns an interface up or down.
func turn(t *testing.T, h *natlab.Host, device, state string) {
	t.Helper()
	cmd := exec.Command("ip", "link", "set", device, state)
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("turn %s %s: %v", device, state, err)
	}
}

// patience ends what hangs.
const patience = time.Minute

func await(t *testing.T, what string, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatalf("not reported: %s", what)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not seen: %s", what)
		}
	}
}

// TestFailedLookIsRepeated: the kernel reports a change only once.
func TestFailedLookIsRepeated(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looks := 0
	err := listen(ctx, func() bool {
		if looks++; looks < 3 {
			return false
		}
		cancel()
		return true
	})
	if err != nil || looks != 3 {
		t.Errorf("looked %d times, %v; want 3", looks, err)
	}
}
