package session

import (
	"context"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

const (
	// A burst, as a keyframe is one, goes out faster than the path carries it, so that it is seen how much that is, but by so
	// little that no queue on the way gets long. Where much is lost there may be no queue at all.
	paceFactor = 1.25
	// Where a queue stands, less goes out than the path carries, until it is gone.
	drainFactor = 0.8
	// paceGrain is how early a packet may go: timers are not worth less.
	paceGrain = 5 * time.Millisecond
	// queueMost is how much may wait on the way: what is in flight beyond the round trip.
	queueMost = 180 * time.Millisecond
	// flightFirst is how much may be in flight at first, in bytes: most keyframes, and little enough that what does not fit through a
	// thin line can be sent again. As long as no queue is seen, as much more as has arrived.
	flightFirst = 48 << 10
	flightLeast = 10 << 10
	// flightMost is how many packets can be in flight.
	flightMost = 4096
	// rttFirst is the round trip before one is known: longer than any.
	rttFirst = time.Second
	// A packet that nobody speaks of is in flight for the round trip and reportWait: then the report about it has been lost.
	reportWait = 500 * time.Millisecond
	// After the round trip and silentAfter without a report nothing seems to arrive: then only a packet every probeEvery is sent.
	silentAfter = 300 * time.Millisecond
	probeEvery  = 100 * time.Millisecond
	// A packet that is asked for goes out once more for every farAway of the round trip, copiesMost times at most: the farther it has to go, the
	// longer the picture stands still when it is lost again.
	farAway    = 200 * time.Millisecond
	copiesMost = 3
)

// pacer says when a packet may leave: not faster than the path carries, and not while too much is on its way. It numbers packets
// transport-wide, and learns from the reports about them.
type pacer struct {
	start time.Time
	heard chan struct{} // holds one when a report has come

	mu        sync.Mutex
	blind     bool               // guarded by mu; there will be no reports
	estimator estimator          // guarded by mu
	clock     arrivalClock       // guarded by mu
	standing  bool               // guarded by mu; a queue stands on the way
	limited   bool               // guarded by mu; a packet was held back since the last report
	free      time.Duration      // guarded by mu; when the packets so far have left at the pace
	unheard   time.Duration      // guarded by mu; when the first packet since the last report left; 0: there is none
	probed    time.Duration      // guarded by mu; when the last packet left
	rtt       time.Duration      // guarded by mu; without what waits on the way
	packets   [flightMost]flying // guarded by mu; by transport-wide sequence number
	next      uint16             // guarded by mu; the next one
	oldest    uint16             // guarded by mu; the oldest that may be in flight
	flight    int                // guarded by mu; bytes
	landed    int                // guarded by mu; bytes that have arrived
}

// flying is a packet that was sent.
type flying struct {
	size int
	sent time.Duration
	open bool // in flight
	told bool // reported,
	came bool // to have arrived
}

func newPacer() *pacer {
	return &pacer{start: time.Now(), heard: make(chan struct{}, 1), estimator: newEstimator(), rtt: rttFirst}
}

// underway says whether a packet may still arrive, or has.
func (p *pacer) underway(number uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.packets[number%flightMost]
	return p.next-number <= flightMost && (f.came || f.open && time.Since(p.start)-f.sent < p.rtt+p.estimator.queue()+10*time.Millisecond)
}

// goBlind is told that the other end will make no reports.
func (p *pacer) goBlind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blind = true
}

// rate is what the path is believed to carry, in bit/s.
func (p *pacer) rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.estimator.rate
}

// measured is what the path was found to carry, in bit/s; 0: its limit has not been seen.
func (p *pacer) measured() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.estimator.queued {
		return 0
	}
	return p.estimator.rate
}

// roundTrip is how long it takes from a packet to the report about it, without queues on the way there.
func (p *pacer) roundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt
}

// copies is how often a packet that is asked for goes out.
func (p *pacer) copies() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.estimator.roundTrip() == 0 { // nothing is known
		return 1
	}
	return min(1+int(p.rtt/farAway), copiesMost)
}

// wait waits until a packet may leave, and numbers it.
func (p *pacer) wait(ctx context.Context, size int) (number uint16, err error) {
	for {
		number, pause := p.take(size)
		if pause <= 0 {
			return number, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.heard:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return 0, context.Cause(ctx)
		}
	}
}

// take lets a packet leave, or says how long to wait before trying again.
func (p *pacer) take(size int) (number uint16, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	p.giveUp(now)
	if pause = p.pause(size, now); pause > 0 {
		p.limited = true
		return 0, pause
	}
	factor := paceFactor
	switch {
	case p.standing:
		factor = drainFactor
	case p.estimator.lossy:
		factor = 1
	}
	p.free = max(p.free, now) + time.Duration(float64(size)*8/(p.estimator.rate*factor)*float64(time.Second))
	p.probed = now
	if p.unheard == 0 {
		p.unheard = max(now, 1)
	}
	number = p.next
	p.packets[number%flightMost] = flying{size: size, sent: now, open: true}
	p.flight += size
	p.next++
	if p.next-p.oldest >= flightMost {
		p.land(p.oldest)
		p.oldest++
	}
	return number, 0
}

// pause is how long a packet must wait at least. It is called with mu held.
func (p *pacer) pause(size int, now time.Duration) time.Duration {
	if early := p.free - now; early > paceGrain {
		return early - paceGrain
	}
	if p.blind || p.flight == 0 {
		return 0
	}
	if p.silent(now) {
		return p.probed + probeEvery - now
	}
	window := max(flightLeast, int(p.estimator.rate/8*(p.rtt+queueMost).Seconds()))
	if !p.estimator.queued {
		window = min(window, flightFirst+p.landed)
	}
	if p.flight+size > window {
		return probeEvery // a report comes before
	}
	return 0
}

// silent says whether nothing seems to arrive any more. It is called with mu held.
func (p *pacer) silent(now time.Duration) bool {
	return p.unheard > 0 && now-p.unheard > p.rtt+silentAfter
}

// giveUp takes what has been in flight for too long out of the count. It is called with mu held.
func (p *pacer) giveUp(now time.Duration) {
	for ; p.oldest != p.next; p.oldest++ {
		if f := &p.packets[p.oldest%flightMost]; f.open && now-f.sent < p.rtt+reportWait {
			return
		}
		p.land(p.oldest)
	}
}

// land is called with mu held.
func (p *pacer) land(number uint16) {
	if f := &p.packets[number%flightMost]; f.open {
		f.open = false
		p.flight -= f.size
	}
}

// report takes a transport-wide feedback packet.
func (p *pacer) report(r *rtcp.TransportLayerCC) {
	p.mu.Lock()
	now := time.Since(p.start)
	acks := make([]ack, 0, 64)
	for _, s := range p.clock.read(r) {
		f := &p.packets[s.number%flightMost]
		if f.told || p.next-s.number > flightMost || p.next == s.number || f.size == 0 {
			continue
		}
		f.told = true
		acks = append(acks, ack{size: f.size, sent: f.sent, lost: !s.received, arrived: s.at, reported: now})
		if s.received {
			p.landed, f.came = p.landed+f.size, true
		}
		p.land(s.number)
	}
	if len(acks) > 0 {
		if p.silent(now) { // nobody knows what the path has become
			p.estimator.queued, p.landed = false, 0
		}
		p.standing = p.estimator.take(acks, p.limited)
		p.limited, p.unheard = false, 0
	}
	if rtt := p.estimator.roundTrip(); rtt > 0 {
		p.rtt = rtt
	}
	p.mu.Unlock()
	select {
	case p.heard <- struct{}{}:
	default:
	}
}
