//go:build linux

package e2e

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// If one of the two ends gets too little processor time, that is no slow network: the person reads which end it is, and
// nothing about the network.
func TestStarvedProcessorIsNoSlowNetwork(t *testing.T) {
	t.Parallel()
	input := film(t, 6000)
	for name, tt := range map[string]struct {
		starve func(cam, viewer *process) *process
		says   string
	}{
		"the camera's": {func(cam, _ *process) *process {
			return cam
		}, "the camera's computer is too busy to send every picture: let it do less, or choose the camera's substream"},
		"the viewer's": {func(_, viewer *process) *process {
			return viewer
		}, "the viewing device is too busy to keep up: close other programs there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startRelayCommand(t)
			cam := start(t, "camera", "-relay", url, "-state", t.TempDir(), "-name", "porch", "-input", input)
			v := newTerminal(t)
			v.pair(t, cam.line(t, "pair porch "))
			file := filepath.Join(t.TempDir(), "film.h264")
			watching := start(t, "viewer", append(v.flags, "watch", "porch", "-o", file)...)
			eventually(t, "the picture moves", func() bool { return size(file) > 1_000_000 })

			stop := run(t, tt.starve(cam, watching).starve)
			watching.await(t, "camera: "+tt.says+"\n", 1)
			stop()
			if said := watching.said(); strings.Contains(said, "the network is too slow") {
				t.Errorf("said\n%s", said)
			}
		})
	}
}

// starve leaves a process less and less processor time until ctx ends, as other programs do that take the rest: half as
// much every ten seconds, since how much is too little depends on the machine.
func (p *process) starve(ctx context.Context) error {
	const runs, least, most = 2 * time.Millisecond, 10 * time.Millisecond, time.Second
	for began := time.Now(); ctx.Err() == nil; {
		waits := time.Duration(float64(least) * math.Exp2(time.Since(began).Seconds()/10))
		if waits > most { // this was too little to continue at all
			began = time.Now()
			continue
		}

		if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(waits)
		if err := p.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		time.Sleep(runs)
	}

	return nil
}
