package media

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func unit(n int, key bool) AccessUnit {
	return AccessUnit{Data: []byte{byte(n)}, Keyframe: key, PTS: time.Duration(n)}
}

// queued takes all that waits.
func queued(s *Subscription) (numbers []int) {
	for {
		u, ok, _ := s.take()
		if !ok {
			return numbers
		}
		numbers = append(numbers, int(u.PTS))
	}
}

func TestBroadcastJoin(t *testing.T) {
	b := NewBroadcast()
	early := b.Subscribe()
	for n := range 25 {
		b.Send(unit(n, n%10 == 3))
	}
	late := b.Subscribe()
	b.Send(unit(25, false))
	if got := queued(early); len(got) != 23 || got[0] != 3 || early.Dropped() != 3 {
		t.Errorf("the early one got %v and lost %d", got, early.Dropped())
	}
	if got := queued(late); len(got) != 3 || got[0] != 23 || got[2] != 25 {
		t.Errorf("the late one got %v", got)
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

func TestBroadcastSlow(t *testing.T) {
	b := NewBroadcast()
	slow, quick := b.Subscribe(), b.Subscribe()
	count := 0
	for n := range 10 * maxQueue {
		b.Send(unit(n, n%20 == 0))
		count += len(queued(quick))
		if len(slow.queue) > maxQueue {
			t.Fatalf("%d access units wait", len(slow.queue))
		}
	}
	if count != 10*maxQueue || quick.Dropped() != 0 {
		t.Errorf("the quick one got %d and lost %d", count, quick.Dropped())
	}
	got := queued(slow)
	if got[0]%20 != 0 || slow.Dropped() != 10*maxQueue-len(got) {
		t.Errorf("the slow one got %v and lost %d", got, slow.Dropped())
	}
	for n := 1; n < len(got); n++ {
		if got[n] != got[n-1]+1 && got[n]%20 != 0 {
			t.Errorf("after %d came %d, which is no keyframe", got[n-1], got[n])
		}
	}
}

func TestBroadcastBounds(t *testing.T) {
	b := NewBroadcast()
	b.Send(AccessUnit{Keyframe: true, Data: make([]byte, maxGroup/2)})
	b.Send(AccessUnit{Data: make([]byte, maxGroup/2+1)})
	b.Send(AccessUnit{Data: make([]byte, 1)})
	if s := b.Subscribe(); len(s.queue) != 0 || !s.waiting {
		t.Error("a group beyond the bound in bytes was kept")
	}
	for n := range maxGroupUnits + 1 {
		b.Send(unit(n, n == 0))
	}
	if s := b.Subscribe(); len(s.queue) != 0 || !s.waiting {
		t.Error("a group beyond the bound in access units was kept")
	}
}

// Who is late goes on at the newest keyframe that waits, if there is one.
func TestSubscriptionSkips(t *testing.T) {
	b := NewBroadcast()
	s := b.Subscribe()
	for n := range 9 {
		b.Send(unit(n, n%20 == 0))
	}
	skips := func() bool { _, ok := s.Skip(); return ok }
	if queued(b.Subscribe()); !skips() || s.Dropped() != 0 {
		t.Error("the keyframe in front was passed over")
	}
	if _, err := s.Next(t.Context()); err != nil || skips() {
		t.Errorf("skipped although no keyframe waits; %v", err)
	}
	for n := 9; n < 50; n++ {
		b.Send(unit(n, n%20 == 0))
	}
	if n, ok := s.Skip(); !ok || n != 39 || s.Dropped() != 39 {
		t.Errorf("%d access units left out, want 39", s.Dropped())
	}
	if got := queued(s); len(got) != 10 || got[0] != 40 {
		t.Errorf("after that come %v", got)
	}
}

// The stream's rate is that of its last whole group of pictures.
func TestGroups(t *testing.T) {
	b := NewBroadcast()
	s := b.Subscribe()
	if g := s.Groups(); g.Rate() != 0 || !g.Began.IsZero() {
		t.Errorf("before the first picture: %+v", g)
	}
	begin := time.Unix(1000, 0)
	for n := range 26 { // 100 bytes every 100 ms
		b.Send(AccessUnit{Data: make([]byte, 100), Keyframe: n%10 == 0, Captured: begin.Add(time.Duration(n) * 100 * time.Millisecond)})
	}
	g := s.Groups()
	if want := (Groups{Bytes: 600, Began: begin.Add(2 * time.Second), Last: 1000, Length: time.Second}); g != want || g.Rate() != 8000 {
		t.Errorf("%+v, %v bit/s; want %+v", g, g.Rate(), want)
	}
	if b.Reset(); s.Groups() != (Groups{}) {
		t.Error("a stream that died has groups of pictures")
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
		{"\x00\x00\x00\x01\x09\x10\x00\x00\x00\x01\x06\x05\x00\x00\x01\x01\x9a", false}, // behind an access unit delimiter and SEI
		{"\x00\x00\x00\x01\x06\x05", true},                                              // no picture: nothing is known
		{"", true},
	} {
		if got := (AccessUnit{Data: []byte(tt.unit)}).Reference(); got != tt.want {
			t.Errorf("%x: %v, want %v", tt.unit, got, tt.want)
		}
	}
}

func TestSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("what waited is gone: %v, %v", u, err)
		}
		if _, err := last.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Subscribe().Next(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// dying is a Source that dies each time, after some pictures.
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
		sink(AccessUnit{Data: d.clip.units[n], Keyframe: n == 0, PTS: time.Duration(n) * time.Second / 15, Captured: time.Now()})
	}
	d.pictures = d.pictures[1:]
	return errors.New("died")
}

func TestFeedBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &dying{clip: clips(t)[0], pictures: []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0}}
		ctx, cancel := context.WithCancel(t.Context())
		var states []State
		feed := NewFeed(source, FeedOptions{OnState: func(s State) {
			states = append(states, s)
			if errors.Is(s.Err, ErrStalled) {
				cancel()
			}
		}})
		if first := feed.State(); first.String() != "no video yet: connecting to the input" {
			t.Errorf("at first %q", first)
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
		// 0.5+1+2+4+8+15+15+15+15 s with half of it jitter, then from the start again, then 10 s of silence.
		if s := states[len(states)-1]; s.Restarts != 12 {
			t.Errorf("%d restarts", s.Restarts)
		}
		if took := time.Since(start); took < 48*time.Second || took > 87*time.Second+500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}
