package media

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/test/bubble"
)

func unit(n int, key bool) AccessUnit {
	return AccessUnit{Data: []byte{byte(n)}, Keyframe: key, PTS: time.Duration(n), Captured: clock.Now()}
}

// queued empties the queue and returns the numbers of its access units.
func queued(s *Subscription) (numbers []int) {
	for {
		u, ok, _ := s.pop()
		if !ok {
			return numbers
		}
		numbers = append(numbers, int(u.PTS))
	}
}

func TestNewSubscriberStartsWithTheCurrentGroup(t *testing.T) {
	b := NewBroadcast()
	early := b.Subscribe()
	for n := range 25 {
		b.Send(unit(n, n%10 == 3))
	}

	late := b.Subscribe()
	b.Send(unit(25, false))
	if got := queued(early); len(got) != 23 || got[0] != 3 || early.Dropped() != 3 {
		t.Errorf("the early subscriber got %v and lost %d", got, early.Dropped())
	}

	if got := queued(late); len(got) != 3 || got[0] != 23 || got[2] != 25 {
		t.Errorf("the late subscriber got %v", got)
	}
	b.Reset()
	b.Send(unit(26, false))
	if got := append(queued(late), queued(b.Subscribe())...); got != nil {
		t.Errorf("after a reset, without a keyframe: %v", got)
	}

	b.Send(unit(27, true))
	if got := queued(late); len(got) != 1 || got[0] != 27 {
		t.Errorf("after a reset: %v", got)
	}
}

// large returns an access unit of 64 kB.
func large(n int, keyframe bool) AccessUnit {
	u := unit(n, keyframe)
	u.Data = append(u.Data, make([]byte, 64<<10)...)
	return u
}

func TestOnlyASlowSubscriberLosesPictures(t *testing.T) {
	b := NewBroadcast()
	slow, quick := b.Subscribe(), b.Subscribe()
	const sent = 2000
	count := 0
	for n := range sent {
		b.Send(large(n, n%20 == 0))
		count += len(queued(quick))
		if slow.size > maxQueue || slow.size < len(slow.queue)*64<<10 {
			t.Fatalf("%d access units wait, %d bytes", len(slow.queue), slow.size)
		}
	}

	if count != sent || quick.Dropped() != 0 || quick.size != 0 {
		t.Errorf("the quick subscriber got %d and lost %d", count, quick.Dropped())
	}
	got := queued(slow)
	if got[0]%20 != 0 || slow.Dropped() != sent-len(got) {
		t.Errorf("the slow subscriber got %v and lost %d", got, slow.Dropped())
	}

	for n := 1; n < len(got); n++ {
		if got[n] != got[n-1]+1 && got[n]%20 != 0 {
			t.Errorf("%d is followed by %d, which is not a keyframe", got[n-1], got[n])
		}
	}
}

// A minute of small pictures can wait for a subscriber that is busy sending a large keyframe.
func TestQueueIsBoundedByBytesNotByCount(t *testing.T) {
	b := NewBroadcast()
	slow := b.Subscribe()
	const minute = 60 * 60
	for n := range minute {
		b.Send(unit(n, n == 0))
	}

	if got := queued(slow); len(got) != minute || slow.Dropped() != 0 || slow.size != 0 {
		t.Errorf("sent %d pictures: %d are queued, %d were dropped", minute, len(got), slow.Dropped())
	}
	b.Send(large(0, true))
	b.Send(large(1, false))
	b.Send(large(2, true))
	if !slow.Skip() || slow.size != large(2, true).cost() {
		t.Errorf("after Skip, the queue has %d bytes", slow.size)
	}

	if slow.Forget(); slow.size != 0 {
		t.Errorf("after Forget, the queue has %d bytes", slow.size)
	}
}

func TestTooLargeGroupIsNotKept(t *testing.T) {
	b := NewBroadcast()
	b.Send(AccessUnit{Keyframe: true, Data: make([]byte, maxGroup/2)})
	b.Send(AccessUnit{Data: make([]byte, maxGroup/2+1)})
	b.Send(AccessUnit{Data: make([]byte, 1)})
	if s := b.Subscribe(); len(s.queue) != 0 || !s.waiting {
		t.Error("a group of more than maxGroup bytes was kept")
	}
}

func TestGroupIsBoundedByBytesNotByCount(t *testing.T) {
	b := NewBroadcast()
	const hour = 3600 * 15
	for n := range hour {
		b.Send(unit(n, n == 0))
	}

	if s := b.Subscribe(); len(s.queue) != hour || s.waiting {
		t.Errorf("%d pictures since the keyframe: %d were kept", hour, len(s.queue))
	}
	for n := range maxGroup / unitCost {
		b.Send(unit(n, false))
	}

	if s := b.Subscribe(); len(s.queue) != 0 || !s.waiting {
		t.Error("a group was kept although its access units cost more than maxGroup")
	}
}

func TestSkipDropsUpToTheNewestKeyframe(t *testing.T) {
	b := NewBroadcast()
	s := b.Subscribe()
	for n := range 9 {
		b.Send(unit(n, n%20 == 0))
	}

	skips := s.Skip
	if queued(b.Subscribe()); !skips() || s.Dropped() != 0 {
		t.Error("Skip dropped the keyframe at the front")
	}
	if _, err := s.Next(t.Context()); err != nil || skips() {
		t.Errorf("Skip found a keyframe, although there is none; %v", err)
	}

	for n := 9; n < 50; n++ {
		b.Send(unit(n, n%20 == 0))
	}
	if !s.Skip() || s.Dropped() != 39 {
		t.Errorf("%d access units dropped, want 39", s.Dropped())
	}

	if got := queued(s); len(got) != 10 || got[0] != 40 {
		t.Errorf("the queue is %v", got)
	}
}

// TestGroups sends a group of pictures a second, and checks sizes and rate.
func TestGroups(t *testing.T) {
	b := NewBroadcast()
	s := b.Subscribe()
	if g := s.Groups(); g.Rate() != 0 || !g.Began.IsZero() {
		t.Errorf("before the first picture: %+v", g)
	}

	machine := &twoClocks{}
	var began clock.Moment
	for n := range 26 { // 100 bytes every 100 ms
		u := AccessUnit{Data: make([]byte, 100), Keyframe: n%10 == 0, Captured: machine.now()}
		if u.Keyframe {
			began = u.Captured
		}
		b.Send(u)
		machine.runs(100 * time.Millisecond)
	}

	g := s.Groups()
	if want := (Groups{Bytes: 600, Began: began, Last: 1000, Length: time.Second}); g != want || g.Rate() != 8000 {
		t.Errorf("%+v, %v bit/s; want %+v", g, g.Rate(), want)
	}
	if b.Reset(); s.Groups() != (Groups{}) {
		t.Error("there are groups of pictures after a reset")
	}
}

func TestReference(t *testing.T) {
	for _, tt := range []struct {
		unit string
		want bool
	}{
		{"\x00\x00\x00\x01\x65\x88", true},
		{"\x00\x00\x00\x01\x41\x9a", true},
		{"\x00\x00\x01\x01\x9a", false},
		// after an access unit delimiter and SEI
		{"\x00\x00\x00\x01\x09\x10\x00\x00\x00\x01\x06\x05\x00\x00\x01\x01\x9a", false},
		{"\x00\x00\x00\x01\x06\x05", true}, // no picture
		{"", true},
	} {
		if got := (AccessUnit{Data: []byte(tt.unit)}).Reference(); got != tt.want {
			t.Errorf("%x: %v, want %v", tt.unit, got, tt.want)
		}
	}
}

func TestSubscriptionEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := NewBroadcast()
		s := b.Subscribe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}

		done := make(chan error)
		go func() {
			_, err := s.Next(t.Context())
			done <- err
		}()
		synctest.Wait()
		s.Close()
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}

		last := b.Subscribe()
		b.Send(unit(1, true))
		b.Close()
		b.Send(unit(2, false))
		if u, err := last.Next(t.Context()); err != nil || u.PTS != 1 {
			t.Errorf("the queue was lost: %v, %v", u, err)
		}

		if _, err := last.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Subscribe().Next(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// dying is a Source that dies again and again. Its numbers say after how many pictures each time.
type dying struct {
	clip     Clip
	pictures []int
}

func (d *dying) Run(ctx context.Context, sink func(AccessUnit)) error {
	if len(d.pictures) == 0 {
		<-ctx.Done() // stalls
		return context.Cause(ctx)
	}
	for n := range d.pictures[0] {
		sink(AccessUnit{
			Data:     d.clip.units[n],
			Keyframe: n == 0,
			PTS:      time.Duration(n) * time.Second / 15,
			Captured: clock.Now(),
		})
	}

	d.pictures = d.pictures[1:]
	return errors.New("died")
}

func TestFeedBackoff(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		source := &dying{clip: clips(t)[0], pictures: []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0}}
		ctx, cancel := context.WithCancel(t.Context())
		var states []State
		feed := NewFeed(source, FeedOptions{OnState: func(s State) {
			states = append(states, s)
			if errors.Is(s.Err, ErrStalled) {
				cancel()
			}
		}})

		if first := feed.State(); first.String() != "no video yet: connecting to the input, up to 10 s" {
			t.Errorf("the first state is %q", first)
		}
		start := time.Now()
		if err := feed.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}

		var sentences []string
		for _, s := range states {
			sentences = append(sentences, s.String())
		}
		want := []string{"no video yet: died", "live", "no video: died", "no video: " + ErrStalled.Error()}
		if len(sentences) != len(want) {
			t.Fatalf("states %q", sentences)
		}

		for n := range want {
			if sentences[n] != want[n] {
				t.Errorf("state %d is %q, want %q", n, sentences[n], want[n])
			}
		}

		// 0.5+1+2+4+8+15+15+15+15 s, half of them jitter; then the same from the start; then 10 s of silence.
		if s := states[len(states)-1]; s.Restarts != 12 {
			t.Errorf("%d restarts", s.Restarts)
		}
		if took := time.Since(start); took < 48*time.Second || took > 87*time.Second+500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}
