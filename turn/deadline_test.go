package turn

import (
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// TestDeadlineIsSetOnlyWhenItMatters: a deadline is too early by at most the slack, and is not set for less than that.
// A shorter one is set at once.
func TestDeadlineIsSetOnlyWhenItMatters(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var d deadline
		var got []time.Duration
		begin := time.Now()
		for _, step := range []struct{ wait, by time.Duration }{
			{0, 10 * time.Second},
			{deadlineSlack / 2, 10 * time.Second}, // not set
			{deadlineSlack / 2, 10 * time.Second},
			{0, 30 * time.Second},
			{deadlineSlack / 2, 10 * time.Second},
		} {
			time.Sleep(step.wait)
			err := d.extend(func(to time.Time) error { got = append(got, to.Sub(begin)); return nil }, step.by)
			if err != nil {
				t.Fatal(err)
			}
		}

		want := []time.Duration{10 * time.Second, 11 * time.Second, 31 * time.Second, 11500 * time.Millisecond}
		if !slices.Equal(got, want) {
			t.Errorf("set to %v, want %v", got, want)
		}
	})
}
