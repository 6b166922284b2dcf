package clock

import (
	"context"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// Where timers fire on time nothing has waited, however long it runs.
func TestTimersOnTimeAreNoDelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var d SchedulingDelay
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if began := time.Now(); d.Since(began.Add(-time.Hour)) != 0 {
			t.Error("a delay before it ran")
		}

		go d.Run(ctx)
		for range 100 {
			time.Sleep(99 * time.Millisecond)
			if late := d.Since(time.Now().Add(-time.Second)); late != 0 {
				t.Fatalf("%v late", late)
			}
		}
	})
}

// Each delay counts for the time that it took, from the moment that the timer was due and before it fires.
func TestLateTimersAreDelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var d SchedulingDelay
		began := time.Now()
		wake := func(late time.Duration) {
			d.expect(time.Now().Add(wakeEvery))
			time.Sleep(wakeEvery + late)
			d.woke(time.Now())
		}

		wait := func(what string, since time.Time, want time.Duration) {
			t.Helper()
			if got := d.Since(since); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}

		wake(30 * time.Millisecond)
		wait("one", began, 30*time.Millisecond)
		second := time.Now()
		wake(50 * time.Millisecond)
		wait("two", began, 80*time.Millisecond)
		wait("the second", second, 50*time.Millisecond)

		d.expect(time.Now().Add(wakeEvery))
		time.Sleep(wakeEvery + 20*time.Millisecond)
		wait("and one that goes on", began, 100*time.Millisecond)
		wait("of which so much can be of just now", time.Now().Add(-5*time.Millisecond), 5*time.Millisecond)
		d.woke(time.Now())

		for range samplesKept {
			wake(time.Millisecond)
		}
		wait("more than is remembered", began, (samplesKept-1)*time.Millisecond)
	})
}
