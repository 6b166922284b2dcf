package session

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// twoStreams is a selection of two streams, ten pictures a second, that have a keyframe every second, half a second apart. A main picture
// is "main", one of the other "low".
type twoStreams struct {
	*selection
	low   *media.Broadcast
	quiet atomic.Bool // nothing more comes of the lower one
}

func playTwo(ctx context.Context) *twoStreams {
	main, low := media.NewBroadcast(), media.NewBroadcast()
	live := media.State{Live: true}
	s := &twoStreams{selection: &selection{main: stream{main, live}, low: stream{low, live}}, low: low}
	go func() {
		ticker := time.NewTicker(100 * ms)
		defer ticker.Stop()
		for n := 0; ; n++ {
			main.Send(media.AccessUnit{Data: []byte("main"), Keyframe: n%10 == 0, Captured: time.Now()})
			if !s.quiet.Load() {
				low.Send(media.AccessUnit{Data: []byte("low"), Keyframe: n%10 == 5, Captured: time.Now()})
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

// takes takes pictures for a time, which must all be of one stream once it has turned, and begin with a keyframe when it turns. tight says whether
// the path leaves pictures of the main stream out. It returns when it turned.
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
			if !unit.Keyframe || time.Since(unit.Captured) > 0 && !s.quiet.Load() {
				t.Errorf("turned to a keyframe %v, %v old", unit.Keyframe, time.Since(unit.Captured))
			}
			turned = append(turned, time.Since(begin))
			before = lower
		}
		if tight && !lower {
			s.left()
		}
	}
}

// The lower stream comes when the path does not carry the main one for long, and goes when that is tried and holds. Where it does not, it is
// tried less and less often, and as soon as at first when it held in between.
func TestSelection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := playTwo(ctx)
		s.open()
		defer s.close()
		if turned := s.takes(t, 2*time.Minute, false); turned != nil {
			t.Errorf("turned after %v although nothing is left out", turned)
		}
		s.takes(t, lowerAfter-time.Second, true)
		s.takes(t, lowerPause+time.Second, false)
		if s.takes(t, lowerAfter-time.Second, true); s.lower.Load() {
			t.Error("turned although there was a pause")
		}
		s.takes(t, 2*time.Minute, false)
		turned := s.takes(t, 10*time.Minute, true)
		var stays []time.Duration
		for i := 1; i < len(turned); i += 2 {
			stays = append(stays, (turned[i] - turned[i-1]).Round(5*time.Second))
		}
		if want := []time.Duration{20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second}; len(stays) < 4 || [4]time.Duration(stays) != [4]time.Duration(want) {
			t.Errorf("the lower stream stayed for %v, want %v", stays, want)
		}
		if first := turned[0]; first < lowerAfter || first > lowerAfter+1100*ms {
			t.Errorf("turned after %v", first)
		}
		s.takes(t, triedMost+lackUntil+heldFor, false)
		if s.takes(t, lowerAfter+1100*ms, true); !s.lower.Load() {
			t.Fatal("not turned again")
		}
		if turned := s.takes(t, time.Minute, false); len(turned) != 1 || turned[0] > triedFirst+1100*ms {
			t.Errorf("after the main stream held it was tried after %v", turned)
		}
	})
}

// A lower stream that has died, or does not fit either, changes nothing for the better: the one is left, the other kept.
func TestSelectionWithoutHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := playTwo(ctx)
		s.open()
		defer s.close()
		s.takes(t, 6*time.Second, true)
		if !s.lower.Load() {
			t.Fatal("not turned")
		}
		for range 60 { // its own pictures are left out, too
			s.takes(t, time.Second, false)
			s.left()
		}
		if !s.lower.Load() {
			t.Error("the main stream is tried where the lower one does not fit")
		}
		s.quiet.Store(true)
		if turned := s.takes(t, 5*time.Second, false); len(turned) != 1 || turned[0] > lowerSilent+100*ms {
			t.Errorf("a dead stream is left after %v", turned)
		}
		if turned := s.takes(t, 20*time.Second, true); turned != nil {
			t.Errorf("turned to a dead stream after %v", turned)
		}
		s.takes(t, 2*lowerPause, false)
		s.quiet.Store(false)
		if turned := s.takes(t, 20*time.Second, false); turned != nil {
			t.Errorf("turned to a stream that was needed once, after %v", turned)
		}
		s.selection.low = stream{s.low, media.State{}}
		if turned := s.takes(t, 20*time.Second, true); turned != nil {
			t.Errorf("turned to a stream that is not live after %v", turned)
		}
	})
}

// Over a line that does not carry the film, and then does, the lower film is shown in between; what is shown can always be decoded, and more of it
// than without.
func TestLowerStreamOverALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := both(2_000_000, 0.05, 50*ms).lasting(time.Minute)
		s.carrier, s.low = media.H264Carrier, 250_000
		if shown := s.run(t); len(shown.turns) != 1 || shown.turns[0] {
			t.Errorf("over a line that carries the film the lower one was shown: %v", shown.turns)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := both(600_000, 0, 50*ms).lasting(time.Minute)
		s.carrier, s.low = media.H264Carrier, 250_000
		s.change = func(at time.Duration, up, down *line) {
			if q := s.up; at == 25*time.Second {
				q.rate = 4_000_000
				up.set(q)
				down.set(q)
			}
		}
		var v verdict
		shown := s.run(t)
		v.add(shown)
		t.Log(&v)
		if share := float64(v.shown) / float64(v.captured); v.spoiled > 0 || v.freezes() > 0 || len(v.rejections) > 0 || share < 0.85 {
			t.Errorf("%.0f %% of the pictures are shown", 100*share)
		}
		if len(shown.turns) != 3 || shown.turns[0] || !shown.turns[1] || shown.turns[2] {
			t.Errorf("the lower film was shown %v, want not, then, and not", shown.turns)
		}
		low := 0
		for _, n := range shown.sending {
			if n.Lower {
				low++
			}
		}
		if last := shown.sending[len(shown.sending)-1]; low < 5 || last.Lower || last.LeftOut == 0 || len(shown.sending) < 25 {
			t.Errorf("the camera told %d times of %d that it sends the lower film, and at last %+v", low, len(shown.sending), last)
		}
		if said := strings.Join(v.status, "; "); !strings.Contains(said, "this is the lower one") || !strings.HasSuffix(said, "; ") {
			t.Errorf("the person was told %q", v.status)
		}
	})
}
