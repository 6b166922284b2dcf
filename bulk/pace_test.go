package bulk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// bottleneck is a link with a queue before it, simulated in steps of a millisecond. Acknowledgments return half a base
// round trip after a packet has left the queue.
type bottleneck struct {
	capacity float64       // bytes a second
	base     time.Duration // round trip without queue
	room     float64       // bytes of the queue; 0 means that it has no end

	now      time.Time
	queue    float64 // bytes
	acks     []ack
	latest   time.Duration
	shortest time.Duration
	lost     uint64
}

// ack is the news of a queue, on its way.
type ack struct {
	at    time.Time
	trip  time.Duration
	drops uint64
}

func (b *bottleneck) delay() time.Duration {
	return time.Duration(b.queue / b.capacity * float64(time.Second))
}

// send puts bytes into the queue.
func (b *bottleneck) send(n float64) {
	var drops uint64
	if b.room > 0 && b.queue+n > b.room {
		drops, n = 1, max(0, b.room-b.queue)
	}
	b.queue += n
	trip := b.base + b.delay()
	b.acks = append(b.acks, ack{b.now.Add(trip), trip, drops})
}

// step lets a millisecond pass.
func (b *bottleneck) step() {
	b.now = b.now.Add(time.Millisecond)
	b.queue = max(0, b.queue-b.capacity/1000)
	for len(b.acks) > 0 && !b.acks[0].at.After(b.now) {
		b.latest = b.acks[0].trip
		b.lost += b.acks[0].drops
		if b.shortest == 0 || b.latest < b.shortest {
			b.shortest = b.latest
		}
		b.acks = b.acks[1:]
	}
}

func (b *bottleneck) measure() measurement { return measurement{b.latest, b.shortest, b.lost} }

// sender sends bulk data through a bottleneck, as fast as its pace allows.
type sender struct {
	*bottleneck
	pace *pace
	next time.Time // when the bytes in hand may leave
	hand int
	sent float64
}

func newSender(capacity float64, base time.Duration) *sender {
	b := &bottleneck{capacity: capacity, base: base, now: time.Unix(1e9, 0), latest: base, shortest: base}
	return &sender{bottleneck: b, pace: newPace(), next: b.now}
}

// run runs for d, and returns the longest queue and the mean rate. picture is the rate of a live picture through the
// same queue, in bytes a second.
func (s *sender) run(d time.Duration, busy bool, picture float64) (longest time.Duration, rate float64) {
	s.sent = 0
	for end := s.now.Add(d); s.now.Before(end); s.step() {
		if picture > 0 {
			s.send(picture / 1000)
		}

		for most := 0; !s.next.After(s.now) && most < 1000; most++ { // the sender itself has an end, too
			if s.hand > 0 {
				s.send(float64(s.hand))
				s.sent += float64(s.hand)
			}
			var wait time.Duration
			s.hand, wait = s.pace.reserve(s.now, s.measure(), busy, pieceSize)
			s.next = s.now.Add(wait)
			if !busy { // QUIC's own congestion control would hold it
				break
			}
		}
		longest = max(longest, s.delay())
	}
	return longest, s.sent / d.Seconds()
}

// TestPaceKeepsTheQueueShort: it uses what the link has, and the queue stays below 25 ms.
func TestPaceKeepsTheQueueShort(t *testing.T) {
	for _, tt := range []struct {
		name     string
		capacity float64
		base     time.Duration
	}{
		{"1 Mbit/s, 20 ms", 125_000, 20 * time.Millisecond},
		{"1 Mbit/s, 150 ms", 125_000, 150 * time.Millisecond},
		{"10 Mbit/s, 5 ms", 1_250_000, 5 * time.Millisecond},
		{"10 Mbit/s, 40 ms", 1_250_000, 40 * time.Millisecond},
		{"10 Mbit/s, 150 ms", 1_250_000, 150 * time.Millisecond},
		{"100 Mbit/s, 10 ms", 12_500_000, 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSender(tt.capacity, tt.base)
			if longest, _ := s.run(40*time.Second, true, 0); longest >= 25*time.Millisecond {
				t.Errorf("on its way up, the queue reached %s", longest)
			}

			longest, rate := s.run(10*time.Second, true, 0)
			if longest >= 25*time.Millisecond || rate < 0.8*tt.capacity {
				t.Errorf("queue %s at %.0f bytes/s", longest, rate)
			}
		})
	}
}

// TestPaceGivesWay: a picture takes what it needs, and the queue becomes short again.
func TestPaceGivesWay(t *testing.T) {
	s := newSender(1_250_000, 40*time.Millisecond)
	s.run(20*time.Second, true, 0)
	s.run(3*time.Second, true, 1_000_000)
	longest, rate := s.run(20*time.Second, true, 1_000_000)
	if longest >= 25*time.Millisecond || rate > 260_000 || rate < 150_000 {
		t.Errorf("beside a picture: queue %s at %.0f bytes/s", longest, rate)
	}
}

func TestPaceFollowsALinkThatBecomesSlower(t *testing.T) {
	s := newSender(1_250_000, 40*time.Millisecond)
	s.run(20*time.Second, true, 0)
	s.capacity /= 4
	s.run(2*time.Second, true, 0)
	if longest, rate := s.run(20*time.Second, true, 0); longest >= 25*time.Millisecond || rate < 0.7*s.capacity {
		t.Errorf("queue %s at %.0f bytes/s", longest, rate)
	}
}

func TestPaceNeverStops(t *testing.T) {
	s := newSender(200_000, 40*time.Millisecond)
	s.run(20*time.Second, true, 195_000) // there is hardly any room
	if _, rate := s.run(20*time.Second, true, 195_000); rate < 0.9*lowestRate || rate > 1.5*lowestRate {
		t.Errorf("%.0f bytes/s", rate)
	}
}

func TestPaceHoldsNothingBackWhileNobodyWatches(t *testing.T) {
	p := newPace()
	now := time.Unix(1e9, 0)
	for range 1000 {
		n, wait := p.reserve(now, measurement{latest: time.Second, shortest: time.Millisecond}, false, pieceSize)
		if n != pieceSize || wait != 0 {
			t.Fatalf("%d bytes after %s", n, wait)
		}
	}
}

// TestPaceBeginsAtItsLowest: what was in the queue before does not count as the path's own time.
func TestPaceBeginsAtItsLowest(t *testing.T) {
	s := newSender(1_250_000, 40*time.Millisecond)
	s.run(20*time.Second, true, 0)
	s.room = 300_000 // which QUIC alone fills: 240 ms
	s.run(time.Second, false, 0)
	if s.delay() < 200*time.Millisecond {
		t.Fatalf("queue %s", s.delay())
	}
	s.run(500*time.Millisecond, true, 0)
	if longest, _ := s.run(20*time.Second, true, 0); longest >= 25*time.Millisecond {
		t.Errorf("queue %s", longest)
	}
}

func TestPaceHalvesAtALoss(t *testing.T) {
	p := newPace()
	now := time.Unix(1e9, 0)
	m := measurement{latest: 100 * time.Millisecond, shortest: 100 * time.Millisecond}
	p.reserve(now, m, true, packet)
	p.window = 1 << 20
	m.lost = 3
	p.reserve(now, m, true, packet)
	m.lost = 5 // of the same round trip
	p.reserve(now.Add(time.Millisecond), m, true, packet)
	if p.window < 1<<19 || p.window > 1<<19+packet {
		t.Errorf("window %.0f", p.window)
	}
	m.lost = 6
	p.reserve(now.Add(200*time.Millisecond), m, true, packet)
	if p.window < 1<<18 || p.window > 1<<18+2*packet {
		t.Errorf("window %.0f", p.window)
	}
}

func TestPaceDoesNotGrowUnused(t *testing.T) {
	p := newPace()
	now := time.Unix(1e9, 0)
	m := measurement{latest: 50 * time.Millisecond, shortest: 50 * time.Millisecond}
	for range 1000 { // a packet every half second: less than the lowest rate
		p.reserve(now, m, true, packet)
		now = now.Add(500 * time.Millisecond)
	}
	if rate := p.rate(now); rate > 2*lowestRate { // the first one had to wait, and no other
		t.Errorf("%.0f bytes/s", rate)
	}
}

// TestPaceForgetsAPathOfOld: after ten minutes, a longer round trip is the path's own.
func TestPaceForgetsAPathOfOld(t *testing.T) {
	s := newSender(1_250_000, 10*time.Millisecond)
	s.run(20*time.Second, true, 0)
	s.base = 100 * time.Millisecond
	s.run(time.Second, true, 0)
	if _, rate := s.run(20*time.Second, true, 0); rate > 1.5*lowestRate {
		t.Errorf("at first, %.0f bytes/s", rate)
	}
	s.run(12*time.Minute, true, 0)
	if longest, rate := s.run(20*time.Second, true, 0); rate < 0.5*s.capacity || longest > 40*time.Millisecond {
		t.Errorf("later, queue %s at %.0f bytes/s", longest, rate)
	}
}

func TestPaceOfSeveralStreamsIsOne(t *testing.T) {
	p := newPace()
	now := time.Unix(1e9, 0)
	var longest time.Duration
	for range 4 {
		_, wait := p.reserve(now, measurement{}, true, pieceSize)
		longest = max(longest, wait)
	}
	if want := 4 * packet * time.Second / lowestRate; longest != want {
		t.Errorf("the last of four waits %s, want %s", longest, want)
	}
}

func TestHoldWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPace()
		began := time.Now()
		if n, err := p.hold(t.Context(), measurement{}, true, pieceSize); n != packet || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if want := packet * time.Second / lowestRate; time.Since(began) != want {
			t.Errorf("it took %s, want %s", time.Since(began), want)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if _, err := p.hold(ctx, measurement{}, true, pieceSize); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
