package congestion

import (
	"context"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

const (
	// A burst, such as a keyframe, is sent a little faster than the path carries it. That shows how much the path
	// carries, and yet no queue on the way gets long. On a path that loses many packets there may be no queue at all,
	// so there the factor does not apply.
	paceFactor = 1.25
	// While a queue is standing, less is sent than the path carries.
	drainFactor = 0.8
	// paceGrain is how early a packet may leave, because timers are no more precise.
	paceGrain = 5 * time.Millisecond
	// maxQueue is how much may wait on the way, which is what is in flight beyond the round trip.
	maxQueue = 180 * time.Millisecond
	// firstFlight is how much may be in flight at first, in bytes. Most keyframes fit, but it is so little that what
	// does not get through a thin line can be sent again. Until a queue is seen, what has arrived is added to it.
	firstFlight = 48 << 10
	minFlight   = 10 << 10
	// maxFlight bounds the packets in flight.
	maxFlight = 4096
	// firstRTT is assumed before a round trip is known. It is longer than any.
	firstRTT = time.Second
	// A packet without a report counts as in flight for the round trip plus reportWait. After that, its report must
	// have been lost.
	reportWait = 500 * time.Millisecond
	// If no report arrives for the round trip plus silentAfter, nothing seems to get through. Then one packet is sent
	// every probeEvery.
	silentAfter = 300 * time.Millisecond
	probeEvery  = 100 * time.Millisecond
	// A requested packet is sent in one further copy for every farAway of the round trip, but in at most maxCopies. The
	// farther it has to go, the longer the picture freezes if it is lost again.
	farAway   = 200 * time.Millisecond
	maxCopies = 3
)

// Pacer decides when a packet may leave: no faster than the path carries, and not while too much is in flight. It gives
// packets transport-wide numbers, and learns from the reports about them.
type Pacer struct {
	start time.Time
	heard chan struct{} // holds one token when a report has arrived

	mu        sync.Mutex
	blind     bool              // guarded by mu; the other end makes no reports
	estimator estimator         // guarded by mu
	clock     arrivalClock      // guarded by mu
	standing  bool              // guarded by mu; a queue is standing on the way
	limited   bool              // guarded by mu; a packet has been held back since the last report
	free      time.Duration     // guarded by mu; when all packets so far will have left, at the pace
	unheard   time.Duration     // guarded by mu; when the first packet since the last report left; 0 if none has
	probed    time.Duration     // guarded by mu; when the last packet left
	rtt       time.Duration     // guarded by mu; without queues on the way
	packets   [maxFlight]flying // guarded by mu; by transport-wide sequence number
	next      uint16            // guarded by mu; the next number
	oldest    uint16            // guarded by mu; the number of the oldest packet that may be in flight
	flight    int               // guarded by mu; bytes
	landed    int               // guarded by mu; bytes that have arrived
}

// flying is a packet that was sent.
type flying struct {
	size int
	sent time.Duration
	open bool // it is in flight
	told bool // a report about it has arrived
	came bool // that report says that the packet has arrived
}

func NewPacer() *Pacer {
	return &Pacer{start: time.Now(), heard: make(chan struct{}, 1), estimator: newEstimator(), rtt: firstRTT}
}

// Underway reports whether a packet has arrived or may still arrive.
func (p *Pacer) Underway(number uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.packets[number%maxFlight]
	return p.next-number <= maxFlight &&
		(f.came || f.open && time.Since(p.start)-f.sent < p.rtt+p.estimator.queue()+10*time.Millisecond)
}

// GoBlind notes that the other end makes no reports.
func (p *Pacer) GoBlind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blind = true
}

// Rate returns the rate that the path seems to carry, in bit/s.
func (p *Pacer) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.estimator.rate
}

// Measured returns the measured rate of the path in bit/s, or 0 if its limit has not been reached.
func (p *Pacer) Measured() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.estimator.queued {
		return 0
	}
	return p.estimator.rate
}

// RoundTrip returns the time from a packet to the report about it, without the queues on the packet's way.
func (p *Pacer) RoundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt
}

// Copies returns in how many copies to send a requested packet.
func (p *Pacer) Copies() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.estimator.roundTrip() == 0 { // nothing is known yet
		return 1
	}
	return min(1+int(p.rtt/farAway), maxCopies)
}

// Wait waits until a packet may leave, and returns its number.
func (p *Pacer) Wait(ctx context.Context, size int) (number uint16, err error) {
	for {
		number, pause := p.tryLeave(size)
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

// tryLeave numbers a packet if it may leave now. Otherwise it returns how long to wait before the next try.
func (p *Pacer) tryLeave(size int) (number uint16, pause time.Duration) {
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
	p.packets[number%maxFlight] = flying{size: size, sent: now, open: true}
	p.flight += size
	p.next++
	if p.next-p.oldest >= maxFlight {
		p.land(p.oldest)
		p.oldest++
	}

	return number, 0
}

// pause returns how long a packet must at least wait. mu must be held.
func (p *Pacer) pause(size int, now time.Duration) time.Duration {
	if early := p.free - now; early > paceGrain {
		return early - paceGrain
	}
	if p.blind || p.flight == 0 {
		return 0
	}
	if p.silent(now) {
		return p.probed + probeEvery - now
	}

	window := max(minFlight, int(p.estimator.rate/8*(p.rtt+maxQueue).Seconds()))
	if !p.estimator.queued {
		window = min(window, firstFlight+p.landed)
	}
	if p.flight+size > window {
		return probeEvery // a report will end the pause earlier
	}
	return 0
}

// silent reports whether nothing seems to get through any more. mu must be held.
func (p *Pacer) silent(now time.Duration) bool {
	return p.unheard > 0 && now-p.unheard > p.rtt+silentAfter
}

// giveUp stops counting packets that have been in flight for too long. mu must be held.
func (p *Pacer) giveUp(now time.Duration) {
	for ; p.oldest != p.next; p.oldest++ {
		if f := &p.packets[p.oldest%maxFlight]; f.open && now-f.sent < p.rtt+reportWait {
			return
		}
		p.land(p.oldest)
	}
}

// land notes that a packet is no longer in flight. mu must be held.
func (p *Pacer) land(number uint16) {
	if f := &p.packets[number%maxFlight]; f.open {
		f.open = false
		p.flight -= f.size
	}
}

// Report learns from a transport-wide feedback packet.
func (p *Pacer) Report(r *rtcp.TransportLayerCC) {
	p.mu.Lock()
	now := time.Since(p.start)
	acks := make([]ack, 0, 64)
	for _, s := range p.clock.read(r) {
		f := &p.packets[s.number%maxFlight]
		if f.told || p.next-s.number > maxFlight || p.next == s.number || f.size == 0 {
			continue
		}
		f.told = true
		acks = append(acks, ack{
			size:     f.size,
			sent:     f.sent,
			lost:     !s.received,
			arrived:  s.at,
			reported: now,
		})

		if s.received {
			p.landed, f.came = p.landed+f.size, true
		}
		p.land(s.number)
	}

	if len(acks) > 0 {
		if p.silent(now) { // the path may have become another one
			p.estimator.queued, p.landed = false, 0
		}
		p.standing = p.estimator.update(acks, p.limited)
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
