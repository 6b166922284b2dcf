package viewer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// twoSessions returns a watching with a stalled session, and the one that is to replace it.
func twoSessions(t *testing.T, shown func(session.Frame)) (w *watching, current, next *attempt) {
	t.Helper()
	w = &watching{cfg: Watch{OnFrame: shown}, events: make(chan func(), 16), retryTimer: time.NewTimer(time.Hour)}
	_, cancel1 := context.WithCancel(t.Context())
	_, cancel2 := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel1(); cancel2(); w.retryTimer.Stop() })
	current = &attempt{cancel: cancel1, began: time.Now()}
	next = &attempt{cancel: cancel2, began: current.began.Add(time.Second)}
	w.current = current
	w.handleFrame(t.Context(), current, session.Frame{CTR: 1})
	(<-w.events)()
	current.stalled, w.next = true, next

	return w, current, next
}

// A stalled session that recovers stays. Frames that the other one delivers while it ends are not shown, and delay no
// others.
func TestFramesOfAnAbandonedSessionAreNotShown(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	w.stall(t.Context(), current, false)
	w.handleFrame(t.Context(), next, session.Frame{CTR: 100})
	w.handleFrame(t.Context(), next, session.Frame{CTR: 101, Still: true})
	w.handleFrame(t.Context(), current, session.Frame{CTR: 2})
	if !slices.Equal(shown, []uint64{1, 2}) {
		t.Errorf("frames shown: %d, want 1 and 2", shown)
	}
}

// The next session's first picture is shown only if it is newer than what was shown last: time must not run backwards.
func TestFirstPictureIsNewerThanWhatIsShown(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	now := time.Now()
	w.handleFrame(t.Context(), current, session.Frame{CTR: 2, Captured: now})
	w.handleFrame(t.Context(), next, session.Frame{CTR: 3, Still: true, Captured: now.Add(-time.Second)})
	w.handleFrame(t.Context(), next, session.Frame{CTR: 4, Still: true, Captured: now.Add(time.Second)})
	if !slices.Equal(shown, []uint64{1, 2, 4}) {
		t.Errorf("pictures shown: %d, want 1, 2 and 4", shown)
	}
}

// Once the next session has shown a frame, it stays, and no more frames of the earlier one are shown.
func TestFramesOfTheEarlierSessionAreNotShown(t *testing.T) {
	var shown []uint64
	w, current, next := twoSessions(t, func(f session.Frame) { shown = append(shown, f.CTR) })
	w.handleFrame(t.Context(), next, session.Frame{CTR: 100})
	w.stall(t.Context(), current, false)
	w.handleFrame(t.Context(), current, session.Frame{CTR: 2})
	w.handleFrame(t.Context(), next, session.Frame{CTR: 101})
	(<-w.events)()
	if !slices.Equal(shown, []uint64{1, 100, 101}) || w.current != next || w.next != nil {
		t.Errorf("frames shown: %d, want 1, 100 and 101", shown)
	}
}

// A picture that nothing follows is live until five seconds after its challenge. Each change is reported once.
func TestLiveEndsWithoutAnotherPicture(t *testing.T) {
	var boot time.Duration
	machine := clock.New(func() time.Duration { return boot }, func() time.Time { return time.Unix(1e9, 0).Add(boot) })
	var told []bool
	w := &watching{cfg: Watch{OnFrame: func(session.Frame) {}, OnLive: func(live bool) { told = append(told, live) }}}
	w.judge() // before there is a picture

	w.show(session.Frame{Challenged: machine.Now()})
	boot += session.LiveFor
	w.judge()
	if !slices.Equal(told, []bool{true}) {
		t.Errorf("OnLive got %v for a picture that is still live, want true", told)
	}

	boot++
	w.judge()
	w.judge()
	w.show(session.Frame{})
	w.show(session.Frame{Challenged: machine.Now(), AccessUnit: []byte("unit")})
	boot += time.Hour
	w.judge()
	if !slices.Equal(told, []bool{true, false, true, false}) {
		t.Errorf("OnLive got %v, want true, false, true, false", told)
	}

	if w.picture.AccessUnit != nil {
		t.Error("a picture is kept after it was passed on")
	}
}

// OnLive is also called for a first picture that is not live.
func TestFirstPictureIsJudged(t *testing.T) {
	var told []bool
	w := &watching{cfg: Watch{OnFrame: func(session.Frame) {}, OnLive: func(live bool) { told = append(told, live) }}}
	w.show(session.Frame{})
	if !slices.Equal(told, []bool{false}) {
		t.Errorf("OnLive got %v, want false", told)
	}
}

// When the current session ends, watching ends or goes on with another, depending on why it ended and on whether it
// ever showed a picture.
func TestEndOfASessionIsFinalOrNot(t *testing.T) {
	broken := errors.New("broken")
	refused := func(code string) error { return &session.Refusal{Code: code} }
	const never, long, recent = time.Duration(-1), retryFor + time.Minute, time.Second
	for _, tt := range []struct {
		name  string
		last  time.Duration // since the last frame
		err   error
		final bool
	}{
		{"before the first picture", never, broken, true},
		{"cancelled before the first picture", never, context.Canceled, false},
		{"without an error before the first picture", never, nil, false},
		{"refused", never, refused("refused"), true},
		{"refused, after a picture", recent, refused("refused"), true},
		{"busy, before the first picture", never, refused("busy"), true},
		{"busy, after a picture", recent, refused("busy"), false},
		{"for the clock, after a picture", recent, refused(session.ClockRefusal), false},
		{"broken, after a picture", recent, broken, false},
		{"broken, long after the last picture", long, broken, true},
		{"without an error, long after the last picture", long, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []error
			w := watchingOf(t, func(err error) { told = append(told, err) })
			if tt.last != never {
				w.last = time.Now().Add(-tt.last)
			}

			w.attemptEnded(&attempt{err: broken}) // of a session that was replaced
			if w.over || w.current == nil || len(told) > 0 {
				t.Fatal("the end of a session that was replaced has an effect")
			}

			w.current.err = tt.err
			w.attemptEnded(w.current)
			if w.over != tt.final || w.current != nil || tt.final && w.ended != tt.err {
				t.Errorf("over %t with %v, want %t", w.over, w.ended, tt.final)
			}

			if tells := !tt.final && tt.err != nil; tells != (len(told) == 1) {
				t.Errorf("told of %v", told)
			}
			if doubled := w.pause == 2*minRetry; doubled == tt.final {
				t.Errorf("the next pause is %v", w.pause)
			}
		})
	}
}

// When the current session ends, the next one replaces it. When the next one ends, the current one stays.
func TestSessionBesideTheOneThatEndsTakesItsPlace(t *testing.T) {
	w := watchingOf(t, nil)
	current, next := w.current, &attempt{stalled: true}
	w.next = next
	w.attemptEnded(current)
	if w.current != next || w.next != nil || next.stalled || w.pause != minRetry {
		t.Errorf("current %p, next %p, want %p and none", w.current, w.next, next)
	}

	other := &attempt{}
	w.next = other
	w.attemptEnded(other)
	if w.current != next || w.next != nil || w.pause != 2*minRetry {
		t.Errorf("current %p, next %p, pause %v", w.current, w.next, w.pause)
	}
}

// watchingOf returns a watching with one session.
func watchingOf(t *testing.T, retry func(error)) *watching {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{
		link:       linkOver(client),
		cfg:        Watch{OnRetry: retry},
		current:    &attempt{},
		retryTimer: time.NewTimer(time.Hour),
		pause:      minRetry,
	}
	t.Cleanup(func() { w.retryTimer.Stop() })

	return w
}

func TestWatchNeedsNoFunctions(t *testing.T) {
	w := watchingOf(t, nil)
	w.events = make(chan func(), 16)
	w.viewer = &Viewer{}
	w.handleFrame(t.Context(), w.current, session.Frame{CTR: 1})
	(<-w.events)()
	hooks := w.hooks(t.Context(), w.current)
	hooks.OnPath(Path{})
	hooks.OnStatus(Status{})
	hooks.OnSending(SendStats{})
	hooks.OnPhase("")
	hooks.OnReject(Rejection{})
	hooks.OnFrame(session.Frame{CTR: 2, Still: true})
	if w.shown != w.current || w.picture == nil {
		t.Error("no picture is shown")
	}
}

// A session that this end cancels, so that another begins instead, is not the last, even if it blames the relay.
func TestReplacedSessionIsNotTheLast(t *testing.T) {
	w := watchingOf(t, nil)
	current := w.current
	canceled := false
	current.cancel = func() { canceled = true }

	w.beginBeside(t.Context())
	current.err = errors.New("cannot reach the relay: connection refused")
	w.attemptEnded(current)
	if !canceled || w.over || w.current != nil {
		t.Errorf("canceled: %v, the watching is over: %v with %v", canceled, w.over, w.ended)
	}
}
