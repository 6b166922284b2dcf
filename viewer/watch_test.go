package viewer

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
)

// twoSessions is a watching whose session is stalled, with another that is to take its place.
func twoSessions(t *testing.T, shown func(session.Frame)) (w *watching, current, next *attempt) {
	t.Helper()
	w = &watching{cfg: Watch{OnFrame: shown}, events: make(chan func(), 16), again: time.NewTimer(time.Hour)}
	_, cancel1 := context.WithCancel(t.Context())
	_, cancel2 := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel1(); cancel2(); w.again.Stop() })
	current = &attempt{cancel: cancel1, began: time.Now()}
	next = &attempt{cancel: cancel2, began: current.began.Add(time.Second)}
	w.current = current
	w.frame(t.Context(), current, session.Frame{CTR: 1})
	(<-w.events)()
	current.stalled, w.next = true, next
	return w, current, next
}

// A session that revives stays: what the other still hands on while it ends is not shown, and keeps nobody's frames back.
func TestFrameOfASessionThatIsWantedNoLonger(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	w.stall(t.Context(), current, false)
	w.frame(t.Context(), next, session.Frame{CTR: 100})
	w.frame(t.Context(), next, session.Frame{CTR: 101, Still: true})
	w.frame(t.Context(), current, session.Frame{CTR: 2})
	if !slices.Equal(shown, []uint64{1, 2}) {
		t.Errorf("frames shown: %d, want 1 and 2", shown)
	}
}

// The first picture of the session that is to come may be older than what the person saw last: time does not run backwards.
func TestFirstPictureIsNewerThanWhatIsShown(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	now := time.Now()
	w.frame(t.Context(), current, session.Frame{CTR: 2, Captured: now})
	w.frame(t.Context(), next, session.Frame{CTR: 3, Still: true, Captured: now.Add(-time.Second)})
	w.frame(t.Context(), next, session.Frame{CTR: 4, Still: true, Captured: now.Add(time.Second)})
	if !slices.Equal(shown, []uint64{1, 2, 4}) {
		t.Errorf("pictures shown: %d, want 1, 2 and 4", shown)
	}
}

// Once the other session shows a frame it stays, and nothing of the one before is shown after it.
func TestFrameOfTheSessionBefore(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	w.frame(t.Context(), next, session.Frame{CTR: 100})
	w.stall(t.Context(), current, false)
	w.frame(t.Context(), current, session.Frame{CTR: 2})
	w.frame(t.Context(), next, session.Frame{CTR: 101})
	(<-w.events)()
	if !slices.Equal(shown, []uint64{1, 100, 101}) || w.current != next || w.next != nil {
		t.Errorf("frames shown: %d, want 1, 100 and 101", shown)
	}
}
