package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// judged is what f says now of a frame that answers c.
func judged(f *freshness, c challenge) Frame {
	var frame Frame
	f.judge(&frame, c, time.Now())
	return frame
}

func TestFreshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f freshness
		c := f.issue(time.Now())
		if frame := judged(&f, c); !frame.Live || frame.Age != 0 {
			t.Errorf("at once: %+v", frame)
		}
		time.Sleep(LiveFor)
		if frame := judged(&f, c); !frame.Live || frame.Age != LiveFor {
			t.Errorf("after exactly %s: %+v", LiveFor, frame)
		}
		time.Sleep(time.Nanosecond)
		if frame := judged(&f, c); frame.Live || frame.Age <= LiveFor {
			t.Errorf("after %s and a nanosecond: %+v", LiveFor, frame)
		}
	})
}

func TestUnknownChallengeIsNeverLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f freshness
		for _, c := range []challenge{{}, {1}} {
			if frame := judged(&f, c); frame.Live || frame.Age <= LiveFor {
				t.Errorf("before any was issued: %+v", frame)
			}
		}
		f.issue(time.Now())
		if frame := judged(&f, challenge{}); frame.Live {
			t.Error("the zeros of a cached frame are live")
		}
	})
}

// A stream held back for a minute, and then delivered at the pace of a live one, is never live, however many challenges are issued meanwhile.
func TestStreamHeldBackIsNeverLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f freshness
		var held []challenge
		for range 180 {
			held = append(held, f.issue(time.Now()))
			if n := len(held) - 61; n >= 0 {
				if frame := judged(&f, held[n]); frame.Live || frame.Age <= LiveFor {
					t.Fatalf("frame %d, a minute late: %+v", n, frame)
				}
			}
			time.Sleep(challengeEvery)
		}
		if len(f.issued) != challengesKnown {
			t.Errorf("%d challenges are remembered, want %d", len(f.issued), challengesKnown)
		}
	})
}

// The monotonic clock stands still while a laptop sleeps. What a relay kept for it meanwhile is not live when it wakes.
func TestSleepIsNoTimeSaved(t *testing.T) {
	var f freshness
	c := f.issue(time.Now())
	f.issued[0].wall = f.issued[0].wall.Add(-time.Hour) // as it looks after an hour's sleep
	if frame := judged(&f, c); frame.Live || frame.Age < time.Hour {
		t.Errorf("after an hour's sleep: %+v", frame)
	}
	f.issued[0].wall = time.Now().Add(time.Hour).Round(0) // the clock was set back by an hour
	if frame := judged(&f, c); !frame.Live {
		t.Errorf("after the clock was set back: %+v", frame)
	}
}
