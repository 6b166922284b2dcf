package media

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// twoClocks are the clocks of a machine. A test sets them, and puts the machine to sleep.
type twoClocks struct{ boot, wall time.Duration }

func (c *twoClocks) now() clock.Moment {
	return clock.New(func() time.Duration {
		return c.boot
	}, func() time.Time { return time.Unix(1e9, 0).Add(c.wall) }).Now()
}

// runs makes time pass on both clocks.
func (c *twoClocks) runs(d time.Duration) { c.boot, c.wall = c.boot+d, c.wall+d }

// interruptions happen to a machine between two pictures, so the first is out of date when the second arrives.
var interruptions = []struct {
	name    string
	happens func(*twoClocks)
}{
	{"the machine sleeps for an hour", func(c *twoClocks) { c.runs(time.Hour) }},
	{"it sleeps, and only its wall clock counts that", func(c *twoClocks) { c.wall += time.Hour }},
	{"it sleeps, and meanwhile its wall clock is set back by as long", func(c *twoClocks) { c.boot += time.Hour }},
	{"its wall clock is set back", func(c *twoClocks) { c.wall -= time.Hour }},
}

// A new subscriber gets no picture from before an interruption. It starts at the next keyframe.
func TestGroupFromBeforeASleepIsDropped(t *testing.T) {
	for _, tt := range interruptions {
		for _, first := range []bool{true, false} { // whether the subscriber or the next picture comes first
			t.Run(tt.name, func(t *testing.T) {
				machine, b := &twoClocks{}, NewBroadcast()
				send := func(n int, key bool) {
					b.Send(AccessUnit{
						Data:     []byte{byte(n)},
						Keyframe: key,
						PTS:      time.Duration(n),
						Captured: machine.now(),
					})
					machine.runs(maxGroupAge) // just short enough
				}

				send(0, true)
				send(1, false)
				if got := queued(b.Subscribe()); len(got) != 2 {
					t.Fatalf("before the interruption: %v, want the group", got)
				}

				tt.happens(machine)
				if !first {
					send(2, false)
				}
				s := b.Subscribe()
				if got := queued(s); len(got) != 0 {
					t.Errorf("a new subscriber gets %v, from before the interruption", got)
				}

				send(3, false)
				send(4, true)
				send(5, false)
				if got := queued(s); len(got) != 2 || got[0] != 4 {
					t.Errorf("continues with %v, want 4 and 5", got)
				}
			})
		}
	}
}

// held is a Source whose access units wait in a pipe while something happens, as those from ffmpeg do.
type held struct {
	clip    Clip
	machine *twoClocks
	happens func(*twoClocks)
}

func (h held) Run(ctx context.Context, sink func(AccessUnit)) error {
	for n := range h.clip.Len() {
		if n == 20 {
			h.happens(h.machine)
		}
		unit := h.clip.units[n]
		sink(AccessUnit{
			Data:     unit,
			Keyframe: parseUnit(unit).isIDR(),
			PTS:      time.Duration(n),
			Captured: h.machine.now(),
		})
		h.machine.runs(time.Second / 15)
	}

	<-ctx.Done()
	return context.Cause(ctx)
}

// Pictures that arrive after a long silence may have been delayed for as long. They are not shown, and the input is
// reopened.
func TestPicturesDelayedInAPipeAreNotShown(t *testing.T) {
	for _, tt := range interruptions {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			feed := NewFeed(held{clips(t)[0], &twoClocks{}, tt.happens}, FeedOptions{OnState: func(s State) {
				if !s.Live {
					cancel()
				}
			}})

			s := feed.Subscribe()
			if err := feed.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if got := queued(s); len(got) != 20 {
				t.Errorf("%d pictures were shown, want the 20 from before", len(got))
			}

			if state := feed.State(); !errors.Is(state.Err, ErrStalled) {
				t.Errorf("the input is %v, want %v", state, ErrStalled)
			}
		})
	}
}
