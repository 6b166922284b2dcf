package congestion

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// route is a path for an estimator to judge. Packets of 1200 bytes go in, and come out in order at a limited rate.
type route struct {
	e      estimator
	rate   float64       // bit/s
	delay  time.Duration // one way
	jitter time.Duration
	loss   float64
	clock  time.Duration // how far the other end's clock is off
	random *rand.Rand

	now, free, last time.Duration
	acks            []ack
	standing        bool
}

func newRoute(rate float64) *route {
	return &route{
		e:      newEstimator(),
		rate:   rate,
		delay:  40 * time.Millisecond,
		random: rand.New(rand.NewPCG(1, 2)),
		now:    time.Second,
	}
}

// burst sends packets at a pace in bit/s, and then lets the rest of lasting pass.
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
		p.acks = append(p.acks, ack{
			size:    size,
			sent:    sent,
			arrived: p.last + p.clock,
			lost:    p.random.Float64() < p.loss,
		})
		p.tell(limited)
	}

	for ; p.now < end; p.now += 10 * time.Millisecond {
		p.tell(limited)
	}
}

// tell reports, every 50 ms, the packets that have arrived.
func (p *route) tell(limited bool) {
	n := 0
	for n < len(p.acks) && p.acks[n].arrived-p.clock+p.delay <= p.now {
		n++
	}
	if n == 0 || p.now%(50*time.Millisecond) > 10*time.Millisecond {
		return
	}

	for i := range p.acks[:n] {
		p.acks[i].reported = p.now
	}
	p.standing = p.e.update(p.acks[:n], limited)
	p.acks = p.acks[n:]
}

// film sends 1 Mbit/s for a time, in groups of two seconds: 24 packets at once, and then 4 every 40 ms.
func (p *route) film(length time.Duration, pace float64) {
	for end := p.now + length; p.now < end; {
		p.burst(24, pace, 40*time.Millisecond, false)
		for range 49 {
			p.burst(4, pace, 40*time.Millisecond, false)
		}
	}
}

func (p *route) near(t *testing.T, want, by float64) {
	t.Helper()
	if math.Abs(p.e.rate-want) > by*want {
		t.Errorf("%.2f Mbit/s, want %.2f", p.e.rate/1e6, want/1e6)
	}
}

// One keyframe that is sent too fast is enough to learn the path's rate, whatever the other end's clock shows.
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

// Jitter, loss and outages do not make a wide path look narrow.
func TestEstimatorIsNotMisled(t *testing.T) {
	for name, change := range map[string]func(*route){
		"nothing": func(*route) {},
		"jitter":  func(p *route) { p.jitter = 40 * time.Millisecond },
		"loss":    func(p *route) { p.loss = 0.1 },
		"both":    func(p *route) { p.jitter, p.loss = 30*time.Millisecond, 0.1 },
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

// If a path drops a third of the packets instead of queueing them, the estimator assumes that it carries the rest.
func TestEstimatorHeedsLossWithoutQueue(t *testing.T) {
	p := newRoute(100e6)
	p.loss = 0.35
	if p.film(4*time.Second, 10e6); p.e.rate > 2e6 || !p.e.lossy {
		t.Errorf("%.2f Mbit/s, lossy %v", p.e.rate/1e6, p.e.lossy)
	}
}

// When a path becomes narrower, the estimate follows within a second. When it becomes wider, the estimate follows
// within seconds, if there is more to send than the estimate allows.
func TestEstimatorFollows(t *testing.T) {
	p := newRoute(4e6)
	p.burst(60, 10e6, time.Second, true)
	p.near(t, 4e6, 0.1)
	p.rate = 1e6
	p.burst(200, 1.5e6, 1600*time.Millisecond, false)
	if p.near(t, 1e6, 0.1); !p.standing {
		t.Error("the estimator does not see the queue")
	}

	p.rate = 8e6
	for range 40 {
		p.burst(int(p.e.rate/8/1200/10), p.e.rate, 100*time.Millisecond, true)
	}
	if p.e.rate < 3e6 {
		t.Errorf("%.2f Mbit/s after four seconds", p.e.rate/1e6)
	}

	for range 100 {
		p.burst(int(p.e.rate/8/1200/10), p.e.rate*paceFactor, 100*time.Millisecond, true)
	}
	p.near(t, 8e6, 0.35)
}

// A sender that is never held back does not learn that a path carries more.
func TestEstimatorGrowsOnlyAtTheLimit(t *testing.T) {
	p := newRoute(50e6)
	if p.film(4*time.Second, 1e6); p.e.rate != firstRate {
		t.Errorf("%.2f Mbit/s", p.e.rate/1e6)
	}
}

// Until a queue has been seen, a raise doubles the estimate; from then on it adds a tenth. In both cases the estimator
// waits half a round trip, here 40 ms, for the effect of a raise before the next one.
func TestEstimatorGrowsCarefullyOnceAQueueWasSeen(t *testing.T) {
	for _, tt := range []struct {
		queued  bool
		percent float64
	}{
		{false, 200},
		{true, 110},
	} {
		e := newEstimator()
		e.queued = tt.queued
		report := func(at time.Duration) float64 {
			before := e.rate
			arrived := ack{size: 1200, sent: at - 80*time.Millisecond, arrived: at - 40*time.Millisecond, reported: at}
			e.update([]ack{arrived}, true)
			return math.Round(100 * e.rate / before)
		}

		for _, step := range []struct {
			at   time.Duration
			want float64
		}{
			{time.Second, tt.percent},
			{time.Second + 39*time.Millisecond, 100},
			{time.Second + 40*time.Millisecond, tt.percent},
		} {
			if got := report(step.at); got != step.want {
				t.Errorf("a queue was seen: %t; after %v: %v %%, want %v %%", tt.queued, step.at, got, step.want)
			}
		}
	}
}

// However many losses in a row are reported, the estimator remembers a bounded number.
func TestEstimatorKeepsNoOutage(t *testing.T) {
	e := newEstimator()
	for i := range 100_000 {
		at := time.Duration(i) * time.Millisecond
		e.update([]ack{{size: 1200, sent: at, reported: at, lost: true}}, false)
	}

	if most := int(outageFor/time.Millisecond) + 1; len(e.pending) > most || cap(e.pending) > 4*most {
		t.Errorf("%d losses are remembered, with room for %d", len(e.pending), cap(e.pending))
	}
	at := 100 * time.Second
	e.update([]ack{{size: 1200, sent: at, arrived: at, reported: at}}, false)
	if len(e.lost) != 0 || len(e.pending) != 0 {
		t.Errorf("an outage counts as %d losses", len(e.lost))
	}
}

// If a receiver's socket has no room for a burst, packets are lost in a row, in less time than an outage takes. Then
// the burst was too fast.
func TestEstimatorSlowsAfterALostBurst(t *testing.T) {
	p := newRoute(500e6)
	p.burst(4000, 200e6, 2*time.Second, true)
	fast := p.e.rate
	for range 20 {
		p.burst(100, fast, 10*time.Millisecond, true)
		p.loss = 1
		p.burst(200, fast, 10*time.Millisecond, true)
		p.loss = 0
		p.burst(20, fast, 80*time.Millisecond, true)
	}

	if p.e.rate > fast/4 {
		t.Errorf("%.0f Mbit/s, down from %.0f, although more than half of it is lost", p.e.rate/1e6, fast/1e6)
	}
}

// After a while, a route that has become longer no longer looks like a queue.
func TestEstimatorForgetsAShorterRoute(t *testing.T) {
	p := newRoute(50e6)
	p.film(4*time.Second, 10e6)
	p.delay += 150 * time.Millisecond
	p.film(30*time.Second, 10e6)
	if p.standing || p.e.queue() > busyAfter {
		t.Errorf("the estimator still sees a queue of %v", p.e.queue())
	}
}

// A queue of more than 50 ms is standing. One that stands for more than a second, though the sender leaves room for it
// to shrink, is somebody else's, and doubles the limit, up to 400 ms. Once less than half the limit waits, the limit
// falls again, by a twentieth of the time that passes.
func TestForeignQueueRaisesTheLimitForATime(t *testing.T) {
	const ms = time.Millisecond
	e, begin := newEstimator(), time.Minute
	for _, step := range []struct {
		after, waits time.Duration
		standing     bool
		limit        time.Duration // afterwards
	}{
		{0, 50 * ms, false, 50 * ms},
		{500 * ms, 300 * ms, true, 50 * ms},
		{1000 * ms, 300 * ms, true, 50 * ms},
		{1001 * ms, 300 * ms, true, 100 * ms},
		{2001 * ms, 300 * ms, true, 100 * ms},
		{2002 * ms, 300 * ms, true, 200 * ms},
		{3003 * ms, 300 * ms, true, 400 * ms},
		{3003 * ms, 401 * ms, true, 400 * ms},
		{4004 * ms, 401 * ms, true, 400 * ms},
		{9000 * ms, 200 * ms, false, 400 * ms},
		{10_000 * ms, 199 * ms, false, 350 * ms},
		{12_000 * ms, 174 * ms, false, 250 * ms},
		{30_000 * ms, 0, false, 50 * ms},
	} {
		if standing := e.stands(step.waits, begin+step.after); standing != step.standing || e.full != step.limit {
			t.Errorf("after %v, with %v on the way: standing %t, limit %v; want %t, %v", step.after, step.waits,
				standing, e.full, step.standing, step.limit)
		}
	}
}
