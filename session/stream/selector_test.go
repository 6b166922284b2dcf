package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// fixedStream is a stream whose state is always the same.
type fixedStream struct {
	*media.Broadcast
	state media.State
}

func (s fixedStream) State() media.State { return s.state }

// twoStreams is a selector for two streams of ten pictures a second. Each has a keyframe every second, half a second
// after the other stream's. Pictures of the main stream are "main", those of the lower one "low".
type twoStreams struct {
	*Selector
	low   *media.Broadcast
	quiet atomic.Bool // the lower stream delivers nothing
}

func playTwo(ctx context.Context) *twoStreams {
	main, low := media.NewBroadcast(), media.NewBroadcast()
	live := media.State{Live: true}
	s := &twoStreams{Selector: NewSelector(fixedStream{main, live}, fixedStream{low, live}), low: low}
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			ofMain := media.AccessUnit{Data: []byte("main"), Keyframe: n%10 == 0, Captured: sessiontest.Clock().Now()}
			ofLow := media.AccessUnit{Data: []byte("low"), Keyframe: n%10 == 5, Captured: ofMain.Captured}
			if ofMain.Keyframe { // a keyframe goes first: the other picture wakes whoever waits for it
				main.Send(ofMain)
			}
			if !s.quiet.Load() {
				low.Send(ofLow)
			}
			if !ofMain.Keyframe {
				main.Send(ofMain)
			}

			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()

	return s
}

// takes takes pictures for a time. After each change to the other stream, all pictures must be of that stream, from a
// keyframe on. If tight, the path does not carry the main stream, so its pictures are left out. takes returns when the
// selector changed.
func (s *twoStreams) takes(t *testing.T, lasting time.Duration, tight bool) (turned []time.Duration) {
	t.Helper()
	begin, before := time.Now(), s.lower.Load()
	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	for {
		unit, err := s.next(ctx)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			return turned
		}

		lower := string(unit.Data) == "low"
		if lower != s.lower.Load() {
			t.Fatalf("a picture of %q, lower is %v", unit.Data, s.lower.Load())
		}
		if lower != before {
			if !unit.Keyframe || unit.Captured.Age() > 0 && !s.quiet.Load() {
				t.Errorf("the first picture after the change is a keyframe: %v, and %v old", unit.Keyframe,
					unit.Captured.Age())
			}
			turned = append(turned, time.Since(begin))
			before = lower
		}

		if tight && !lower {
			s.noteLeftOut()
		}
	}
}

// If the path fails to carry the main stream for some time, the viewer gets the lower one, until the selector tries the
// main one again and it holds. If it does not hold, it is tried less and less often. Once it has held, it is next tried
// as early as the first time.
func TestStreamSelectorTriesTheMainStreamAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := playTwo(ctx)
		s.open()
		defer s.close()

		if turned := s.takes(t, 2*time.Minute, false); turned != nil {
			t.Errorf("changed after %v although nothing was left out", turned)
		}
		s.takes(t, lowerAfter-time.Second, true)
		s.takes(t, lowerPause+time.Second, false)
		if s.takes(t, lowerAfter-time.Second, true); s.lower.Load() {
			t.Error("changed although there was a pause")
		}

		s.takes(t, 2*time.Minute, false)
		turned := s.takes(t, 10*time.Minute, true)
		var stays []time.Duration
		for i := 1; i < len(turned); i += 2 {
			stays = append(stays, (turned[i] - turned[i-1]).Round(5*time.Second))
		}

		if want := []time.Duration{20 * time.Second, 40 * time.Second, 80 * time.Second,
			160 * time.Second}; len(stays) < 4 || [4]time.Duration(stays) != [4]time.Duration(want) {
			t.Errorf("the lower stream stayed for %v, want %v", stays, want)
		}
		if first := turned[0]; first < lowerAfter || first > lowerAfter+1100*time.Millisecond {
			t.Errorf("changed after %v", first)
		}

		s.takes(t, maxTried+clearAfter+heldFor, false)
		if s.takes(t, lowerAfter+1100*time.Millisecond, true); !s.lower.Load() {
			t.Fatal("did not change again")
		}
		if turned := s.takes(t, time.Minute, false); len(turned) != 1 || turned[0] > firstTried+1100*time.Millisecond {
			t.Errorf("the main stream had held, but was tried again only after %v", turned)
		}
	})
}

// The selector leaves a lower stream that has died. It keeps one that does not fit the path, because the main one would
// fit even less.
func TestStreamSelectorStaysWhereTheOtherStreamIsNoHelp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := playTwo(ctx)
		s.open()
		defer s.close()

		s.takes(t, 6*time.Second, true)
		if !s.lower.Load() {
			t.Fatal("did not change")
		}
		for range 60 { // the lower stream's pictures are left out, too
			s.takes(t, time.Second, false)
			s.noteLeftOut()
		}

		if !s.lower.Load() {
			t.Error("tried the main stream although not even the lower one fits")
		}
		s.quiet.Store(true)
		if turned := s.takes(t, 5*time.Second, false); len(turned) != 1 ||
			turned[0] > lowerSilent+100*time.Millisecond {
			t.Errorf("left a dead stream after %v", turned)
		}

		if turned := s.takes(t, 20*time.Second, true); turned != nil {
			t.Errorf("changed to a dead stream after %v", turned)
		}
		s.takes(t, 2*lowerPause, false)
		s.quiet.Store(false)
		if turned := s.takes(t, 20*time.Second, false); turned != nil {
			t.Errorf("changed to a stream that was needed only earlier, after %v", turned)
		}

		s.Selector.low = fixedStream{s.low, media.State{}}
		if turned := s.takes(t, 20*time.Second, true); turned != nil {
			t.Errorf("changed to a stream that is not live, after %v", turned)
		}
	})
}

// The selector changes to the lower stream once three pictures were left out over four seconds, the last one at most
// five seconds ago. It tries the main stream again when its patience ends, and nothing was left out for ten seconds.
func TestStreamSelectorChangesWhenDue(t *testing.T) {
	const second = time.Second
	now := time.Now()
	for _, tt := range []struct {
		name        string
		lower       bool
		times       int
		first, last time.Duration // how long ago
		since       time.Duration // how long ago
		want        bool
	}{
		{"three times in four seconds", false, 3, 9 * second, 5 * second, 0, true},
		{"twice", false, 2, 9 * second, 5 * second, 0, false},
		{"within less time", false, 3, 9*second - 1, 5 * second, 0, false},
		{"too long ago", false, 3, 10 * second, 5*second + 1, 0, false},
		{"lower for as long as planned", true, 0, 0, 10*second + 1, 20 * second, true},
		{"not as long", true, 0, 0, 10*second + 1, 20*second - 1, false},
		{"something was left out", true, 0, 0, 10 * second, 20 * second, false},
	} {
		s := NewSelector(nil, fixedStream{nil, media.State{Live: true}})
		s.lower.Store(tt.lower)
		s.times, s.patience = tt.times, 20*second
		s.first, s.last, s.since = now.Add(-tt.first), now.Add(-tt.last), now.Add(-tt.since)
		if got := s.due(now); got != tt.want {
			t.Errorf("%s: due %t, want %t", tt.name, got, tt.want)
		}
	}
}

// Pictures that a subscription drops before its first one do not count, since the viewer does not miss them. Later ones
// count.
func TestPicturesDroppedBeforeTheFirstDoNotCount(t *testing.T) {
	b := media.NewBroadcast()
	s := NewSelector(fixedStream{b, media.State{Live: true}}, nil)
	s.open()
	defer s.close()
	for n := range 6 { // keyframes 0 and 3
		b.Send(media.AccessUnit{Data: []byte{byte(n)}, Keyframe: n%3 == 0})
	}
	s.skip() // 0 to 2
	if _, err := s.next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.newlyDropped(); n != 0 {
		t.Errorf("%d count as dropped before the first picture, want none", n)
	}

	b.Send(media.AccessUnit{Data: []byte{6}, Keyframe: true})
	s.skip() // 4 and 5
	if n := s.newlyDropped(); n != 2 {
		t.Errorf("%d count as dropped after it, want 2", n)
	}
	if n := s.newlyDropped(); n != 0 {
		t.Errorf("%d are counted again", n)
	}
}
