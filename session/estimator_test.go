package session

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// route is what an estimator judges: packets of 1200 bytes go in, and come out at a rate, in order.
type route struct {
	e      estimator
	rate   float64       // bit/s
	delay  time.Duration // one way
	jitter time.Duration
	loss   float64
	clock  time.Duration // by how much the other end's clock is off
	random *rand.Rand

	now, free, last time.Duration
	acks            []ack
	standing        bool
}

func newRoute(rate float64) *route {
	return &route{e: newEstimator(), rate: rate, delay: 40 * ms, random: rand.New(rand.NewPCG(1, 2)), now: time.Second}
}

// burst sends packets at a pace, in bit/s, and lets the rest of a time pass.
func (p *route) burst(packets int, pace float64, lasting time.Duration, limited bool) {
	const size = 1200
	end := p.now + lasting
	for range packets {
		sent := p.now
		p.now += time.Duration(size * 8 / pace * float64(time.Second))
		p.free = max(p.free, sent) + time.Duration(size*8/p.rate*float64(time.Second))
		at := p.free + p.delay
		if p.jitter > 0 {
			at += time.Duration(p.random.Int64N(int64(p.jitter)))
		}
		p.last = max(p.last, at)
		p.acks = append(p.acks, ack{size: size, sent: sent, arrived: p.last + p.clock, lost: p.random.Float64() < p.loss})
		p.tell(limited)
	}
	for ; p.now < end; p.now += 10 * ms {
		p.tell(limited)
	}
}

// tell reports what has arrived, every 50 ms.
func (p *route) tell(limited bool) {
	n := 0
	for n < len(p.acks) && p.acks[n].arrived-p.clock+p.delay <= p.now {
		n++
	}
	if n == 0 || p.now%(50*ms) > 10*ms {
		return
	}
	for i := range p.acks[:n] {
		p.acks[i].reported = p.now
	}
	p.standing = p.e.take(p.acks[:n], limited)
	p.acks = p.acks[n:]
}

// film is 1 Mbit/s for a time: 24 packets, and then 4 every 40 ms for two seconds.
func (p *route) film(length time.Duration, pace float64) {
	for end := p.now + length; p.now < end; {
		p.burst(24, pace, 40*ms, false)
		for range 49 {
			p.burst(4, pace, 40*ms, false)
		}
	}
}

func (p *route) near(t *testing.T, want, by float64) {
	t.Helper()
	if math.Abs(p.e.rate-want) > by*want {
		t.Errorf("%.2f Mbit/s, want %.2f", p.e.rate/1e6, want/1e6)
	}
}

// One keyframe that goes out too fast is enough to know the path's rate, whatever the other end's clock says.
func TestEstimatorMeasures(t *testing.T) {
	for _, rate := range []float64{0.3e6, 1e6, 2e6, 4e6} {
		for _, clock := range []time.Duration{0, -time.Hour, 12 * time.Hour} {
			p := newRoute(rate)
			p.clock = clock
			p.burst(40, 10e6, 2*time.Second, true)
			if p.near(t, rate, 0.1); !p.e.queued {
				t.Errorf("no queue was seen at %.1f Mbit/s", rate/1e6)
			}
		}
	}
}

// A path that has room is never judged by what is sent: neither jitter nor loss nor an outage makes it narrow.
func TestEstimatorIsNotMisled(t *testing.T) {
	for name, change := range map[string]func(*route){
		"nothing": func(*route) {},
		"jitter":  func(p *route) { p.jitter = 40 * ms },
		"loss":    func(p *route) { p.loss = 0.1 },
		"both":    func(p *route) { p.jitter, p.loss = 30*ms, 0.1 },
	} {
		p := newRoute(50e6)
		change(p)
		if p.film(20*time.Second, 10e6); p.e.rate < 4e6 {
			t.Errorf("%s: %.2f Mbit/s", name, p.e.rate/1e6)
		}
	}
	p := newRoute(50e6)
	p.film(2*time.Second, 10e6)
	p.loss = 1
	p.film(2*time.Second, 10e6)
	p.loss = 0
	if p.film(2*time.Second, 10e6); p.e.rate < 4e6 {
		t.Errorf("after an outage: %.2f Mbit/s", p.e.rate/1e6)
	}
}

// What loses a third of the packets without letting them wait is taken to carry the rest.
func TestEstimatorHeedsLossWithoutQueue(t *testing.T) {
	p := newRoute(100e6)
	p.loss = 0.35
	if p.film(4*time.Second, 10e6); p.e.rate > 2e6 || !p.e.lossy {
		t.Errorf("%.2f Mbit/s, lossy %v", p.e.rate/1e6, p.e.lossy)
	}
}

// A path that becomes narrower is followed down within a second, and one that becomes wider up within seconds, when there is more
// to send than it was thought to carry.
func TestEstimatorFollows(t *testing.T) {
	p := newRoute(4e6)
	p.burst(60, 10e6, time.Second, true)
	p.near(t, 4e6, 0.1)
	p.rate = 1e6
	p.burst(200, 1.5e6, 1600*ms, false)
	if p.near(t, 1e6, 0.1); !p.standing {
		t.Error("nobody sees the queue")
	}
	p.rate = 8e6
	for range 40 {
		p.burst(int(p.e.rate/8/1200/10), p.e.rate, 100*ms, true)
	}
	if p.e.rate < 3e6 {
		t.Errorf("%.2f Mbit/s after four seconds", p.e.rate/1e6)
	}
	for range 100 {
		p.burst(int(p.e.rate/8/1200/10), p.e.rate*paceFactor, 100*ms, true)
	}
	p.near(t, 8e6, 0.35)
}

// Whoever is not held back learns nothing about more room.
func TestEstimatorGrowsOnlyAtTheLimit(t *testing.T) {
	p := newRoute(50e6)
	if p.film(4*time.Second, 1e6); p.e.rate != firstRate {
		t.Errorf("%.2f Mbit/s", p.e.rate/1e6)
	}
}

// An end that reports nothing but losses, for as long as it likes, is not remembered loss by loss.
func TestEstimatorKeepsNoOutage(t *testing.T) {
	e := newEstimator()
	for i := range 100_000 {
		at := time.Duration(i) * ms
		e.take([]ack{{size: 1200, sent: at, reported: at, lost: true}}, false)
	}
	if len(e.pending) > outage+1 || cap(e.pending) > 4*outage {
		t.Errorf("%d losses are remembered, in room for %d", len(e.pending), cap(e.pending))
	}
	e.take([]ack{{size: 1200, sent: 100 * time.Second, arrived: 100 * time.Second, reported: 100 * time.Second}}, false)
	if len(e.lost) != 0 || len(e.pending) != 0 {
		t.Errorf("an outage counts as %d losses", len(e.lost))
	}
}

// A route that is longer than the one before is not a queue for ever.
func TestEstimatorForgetsAShorterRoute(t *testing.T) {
	p := newRoute(50e6)
	p.film(4*time.Second, 10e6)
	p.delay += 150 * ms
	p.film(30*time.Second, 10e6)
	if p.standing || p.e.queue() > busyAfter {
		t.Errorf("a queue of %v is still seen", p.e.queue())
	}
}
