package bulk

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// While a live picture is sent, bulk data yields to it as LEDBAT does (RFC 6817): a window of bytes on the way grows
// while the queue is shorter than a target, and shrinks while it is longer. The queue is the round trip now less the
// base round trip, the shortest of the last ten minutes. These are the differences:
//   - The window turns into a rate, since QUIC's own window, which also holds, cannot be set: window / round trip.
//   - It shrinks in proportion to itself, by at most half in a round trip, as in LEDBAT++
//     (draft-irtf-iccrg-ledbat-plus-plus). RFC 6817 takes away one packet a round trip, which is too slow if a link
//     becomes slower.
//   - On a short path the window grows more slowly, as in LEDBAT++.
//   - Each time a picture begins to be sent, the rate begins at its lowest. So the queue of what came before drains,
//     and the base is measured again.
const (
	targetQueue = 15 * time.Millisecond // so that the queue, which overshoots, stays below 25 ms
	lowestRate  = 32_000                // bytes a second; less would not end
	packet      = 1200                  // bytes by which the window grows in a round trip without queue
	maxWindow   = 16 << 20              // bytes

	// pieceTime is how much of the rate is sent at once, and idleTime how much of it may be sent late: after a timer
	// that comes late, for example.
	pieceTime = 5 * time.Millisecond
	idleTime  = 10 * time.Millisecond

	recentSamples = 4 // the shortest of so many round trips is the current one (RFC 6817's CURRENT_FILTER)
	baseMinutes   = 10

	unknownTrip  = time.Second // until there is a measurement
	shortestTrip = time.Millisecond
)

// measurement is what a connection knows of its path.
type measurement struct {
	latest   time.Duration // the latest round trip
	shortest time.Duration // of the whole connection
	lost     uint64        // packets, so far
}

// measure measures the path.
func (c *Conn) measure() measurement {
	s := c.quic.ConnectionStats()
	return measurement{s.LatestRTT, s.MinRTT, s.PacketsLost}
}

// pace decides when the next bytes may be sent. All streams of a connection share one.
type pace struct {
	mu sync.Mutex // guards what follows

	busy    bool
	window  float64   // bytes that may be on the way; valid while busy
	credit  float64   // bytes that may be sent now; below zero while somebody waits
	limited bool      // the rate, and nothing else, held the sender back since adapted
	now     time.Time // of the last call of reserve
	adapted time.Time // when window was last changed
	waitFor time.Time // until when another loss is the same one
	lost    uint64    // packets, at the last look

	recent []trip          // the latest round trips, at most recentSamples
	bases  []time.Duration // the shortest round trip of each minute, at most baseMinutes; the last one goes on
	minute time.Time       // when the last of bases began
}

// trip is a round trip.
type trip struct {
	at   time.Time // when it was measured
	trip time.Duration
}

func newPace() *pace { return &pace{} }

// hold waits until some bytes may be sent, and returns how many: 1 to want. While busy is false, it does not wait.
func (p *pace) hold(ctx context.Context, m measurement, busy bool, want int) (int, error) {
	n, wait := p.reserve(time.Now(), m, busy, want)
	if wait <= 0 {
		return n, ctx.Err()
	}

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// reserve returns how many of want bytes are sent next, and how long the sender waits before that.
func (p *pace) reserve(now time.Time, m measurement, busy bool, want int) (n int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.sample(now, m)
	if !busy {
		p.busy = false
		return want, 0
	}
	if !p.busy {
		p.begin(now, m)
	}
	p.adapt(now, m)

	rate := p.rate(now)
	p.credit = min(p.credit+rate*now.Sub(p.now).Seconds(), max(packet, rate*idleTime.Seconds()))
	p.now = now
	n = min(want, max(packet, int(rate*pieceTime.Seconds())))
	if p.credit -= float64(n); p.credit >= 0 {
		return n, 0
	}
	p.limited = true
	return n, time.Duration(-p.credit / rate * float64(time.Second))
}

// sample takes the latest round trip into account.
func (p *pace) sample(now time.Time, m measurement) {
	if m.latest <= 0 {
		return
	}
	switch {
	case len(p.bases) == 0:
		p.bases, p.minute = append(p.bases, min(m.latest, cmp.Or(m.shortest, m.latest))), now
	case now.Sub(p.minute) >= time.Minute:
		p.bases, p.minute = append(p.bases, m.latest), now
		p.bases = p.bases[max(0, len(p.bases)-baseMinutes):]
	}
	if n := len(p.recent); n > 0 && p.recent[n-1].trip == m.latest {
		return // to the nanosecond: nothing was acknowledged
	}

	p.recent = append(p.recent, trip{now, m.latest})
	p.recent = p.recent[max(0, len(p.recent)-recentSamples):]
	last := &p.bases[len(p.bases)-1]
	*last = min(*last, m.latest)
}

// roundTrip returns the current round trip, and the part of it that is base.
func (p *pace) roundTrip(now time.Time) (all, base time.Duration) {
	n := len(p.recent)
	if n == 0 {
		return unknownTrip, unknownTrip
	}
	base = slices.Min(p.bases)
	all = p.recent[n-1].trip
	for _, t := range p.recent[:n-1] {
		if now.Sub(t.at) < base { // an older one would say how the queue was before this end last reacted
			all = min(all, t.trip)
		}
	}
	return max(all, shortestTrip), max(min(all, base), shortestTrip)
}

// begin makes the sender begin at the lowest rate.
func (p *pace) begin(now time.Time, m measurement) {
	p.busy, p.window, p.credit, p.limited = true, 0, 0, false
	p.now, p.adapted, p.waitFor = now, now, now
	p.lost = m.lost
}

// adapt changes the window for the time that has passed since it last did.
func (p *pace) adapt(now time.Time, m measurement) {
	all, base := p.roundTrip(now)
	queue := (all - base).Seconds() / targetQueue.Seconds() // in units of the target
	rounds := min(1, now.Sub(p.adapted).Seconds()/all.Seconds())
	p.adapted = now

	if m.lost > p.lost && !now.Before(p.waitFor) {
		p.window /= 2
		p.waitFor = now.Add(all)
	}
	p.lost = m.lost

	switch {
	case queue > 1:
		p.window *= 1 - min(queue-1, 0.5)*rounds
	case p.limited: // RFC 6817 does not let a window grow that is not used
		p.window += (1 - queue) * gain(base) * packet * rounds
	}
	p.limited = false
	p.window = min(max(p.window, lowestRate*all.Seconds()), maxWindow)
}

// gain returns how many packets the window grows by in a round trip without queue: fewer on a short path, where each
// packet is more of the queue (LEDBAT++).
func gain(base time.Duration) float64 {
	return 1 / min(16, math.Ceil(2*targetQueue.Seconds()/base.Seconds()))
}

// rate returns how many bytes may be sent in a second.
func (p *pace) rate(now time.Time) float64 {
	all, _ := p.roundTrip(now)
	return max(lowestRate, p.window/all.Seconds())
}
