package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestWaitLineIsPrintedWithinTwoSeconds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var said strings.Builder
		w := &waitLine{
			stderr: &said,
			until:  time.Now().Add(30500 * time.Millisecond),
			why:    "waiting for the camera's answer",
		}

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.run(ctx)

		hears := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()

			if said.String() != want {
				t.Errorf("after %s the person has read %q, want %q", after, said.String(), want)
			}
			said.Reset()
		}

		hears(time.Second, "")
		w.setReason("connected")
		hears(0, "") // a short wait prints nothing
		hears(time.Second, "connected (29 s left)\n")
		w.setReason("connected")
		hears(0, "")
		w.setReason("the camera says: one keyframe comes\x1b every 60 s")
		hears(0, "the camera says: one keyframe comes? every 60 s (28 s left)\n")
		hears(5*time.Second, "the camera says: one keyframe comes? every 60 s (24 s left)\n")
		w.stop()
		w.setReason("nothing any more")
		hears(20*time.Second, "")
	})
}

// Every phase in which a person may have to wait has its own line.
func TestEachPhaseIsExplained(t *testing.T) {
	for _, phase := range []string{"", "reached", "answered", "checked", "connected"} {
		if phases[phase] == "" {
			t.Errorf("nothing is printed in phase %q", phase)
		}
	}
}
