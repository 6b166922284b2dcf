package congestion

import "time"

const (
	// firstRate is the assumed rate of a path about which nothing is known, in bit/s.
	firstRate = 8e6
	minRate   = 50e3
	maxRate   = 200e6

	// A packet that took busyAfter longer than the quickest one has waited in a queue, because jitter is usually less.
	// If even the quickest packet of the last standingFor took fullAfter longer, the queue is standing and must shrink.
	busyAfter   = 15 * time.Millisecond
	fullAfter   = 50 * time.Millisecond
	standingFor = 100 * time.Millisecond
	// A queue that stands for foreignAfter although less is sent than arrives belongs to somebody else.
	foreignAfter = time.Second
	maxFull      = 400 * time.Millisecond
	// The rate is measured over at least busyPackets packets and busyFor, and over at most measureFor.
	busyPackets = 8
	busyFor     = 40 * time.Millisecond
	measureFor  = 500 * time.Millisecond
	minBurst    = 15 << 10 // bytes
	burstSpread = 30 * time.Millisecond
	// Radio loses packets by itself, and such loss says nothing about the rate. If more than muchLoss of a second's
	// packets are lost, a policer on the path drops what exceeds its rate instead of queueing it; above someLoss that
	// is possible. If more than outage packets in a row are lost that were sent over outageFor or longer, that is an
	// outage: nothing gets through. If they were sent over a shorter time, they are a burst for which some buffer had
	// no room: a receiver's socket holds a hundred packets until its program runs again.
	muchLoss  = 0.25
	someLoss  = 0.08
	minLossy  = 30 // packets
	lossyFor  = 200 * time.Millisecond
	outage    = 20
	outageFor = 50 * time.Millisecond
	// baseFor is how long the quickest packet counts, because routes and clocks change.
	baseFor = 10 * time.Second
	// maxRecent bounds the packets that are remembered.
	maxRecent = 2048
)

// ack is what the other end reports about one packet.
type ack struct {
	size int           // bytes
	sent time.Duration // by this end's clock
	lost bool
	// by the other end's clock; its distance from sent means something only in comparison with another packet's
	arrived  time.Duration
	reported time.Duration // by this end's clock
}

func (a ack) delay() time.Duration { return a.arrived - a.sent }

// estimator estimates how much a path carries, from the times at which packets leave and arrive. Usual congestion
// control finds out by sending more until it is too much, but a camera cannot choose what it sends. So the estimator
// measures: while packets wait in a queue on the way, they arrive at exactly the rate of the narrowest line. If the
// sender was held back and no packet waited, the path may carry more.
type estimator struct {
	rate   float64       // bit/s
	queued bool          // a queue has been seen, so the rate grows carefully
	lossy  bool          // many packets are lost
	full   time.Duration // a longer queue counts as standing
	stood  time.Duration // the last time at which no queue was standing
	judged time.Duration // when stands was last called
	grown  time.Duration // when the rate was last raised

	recent  []ack // packets of the last second that arrived, oldest first
	lost    []ack // packets of the last second that were lost, oldest first
	pending []ack // lost packets, if none has arrived since
	base    [2]struct {
		since time.Duration
		least time.Duration
	}
}

func newEstimator() estimator { return estimator{rate: firstRate, full: fullAfter} }

// update learns from a report about packets, in the order in which they were sent. limited is true if the sender has
// been held back since the last report. update reports whether a queue is standing on the way.
func (e *estimator) update(acks []ack, limited bool) (standing bool) {
	for _, a := range acks {
		e.note(a)
	}
	if len(e.recent) == 0 {
		return false
	}

	now := e.recent[len(e.recent)-1].reported
	e.recent, e.lost = since(e.recent, now-time.Second), since(e.lost, now-time.Second)
	measured, quickest, spread := e.measure()
	delivered, lost := e.loss()
	standing = e.stands(quickest, now)
	switch {
	case measured > 0 && (standing || measured > e.rate || spread):
		e.rate, e.queued = measured, true
	case limited && e.mayGrow(quickest, lost, now):
		e.grow(now)
	}

	if lost > muchLoss {
		e.rate, e.queued = min(e.rate, delivered), true
	}
	e.lossy = lost > someLoss
	e.rate = min(max(e.rate, minRate), maxRate)
	return standing
}

// note remembers what the other end reports about one packet. Lost packets count once a later one has arrived, unless
// they were an outage.
func (e *estimator) note(a ack) {
	if a.lost {
		if !e.isOutage() && len(e.pending) < maxRecent { // the rest of an outage, perhaps without end, changes nothing
			e.pending = append(e.pending, a)
		}
		return
	}

	if !e.isOutage() {
		e.lost = append(e.lost, e.pending...)
	}
	e.pending = e.pending[:0]
	e.recent = append(e.recent, a)
	e.judgeBase(a)
}

// mayGrow reports whether the path may carry more. It may if hardly anything waits or is lost, and the last raise has
// had time to show its effect.
func (e *estimator) mayGrow(quickest time.Duration, lost float64, now time.Duration) bool {
	waits := quickest > e.full*busyAfter/fullAfter
	return !waits && lost <= someLoss && now-e.grown >= e.roundTrip()/2
}

// grow raises the rate: fast until a queue has been seen, and carefully from then on.
func (e *estimator) grow(now time.Duration) {
	factor := 2.0
	if e.queued {
		factor = 1.1
	}
	e.rate, e.grown = e.rate*factor, now
}

// isOutage reports whether so many packets in a row, over such a long time, were lost that nothing gets through.
func (e *estimator) isOutage() bool {
	n := len(e.pending)
	return n > outage && e.pending[n-1].sent-e.pending[0].sent >= outageFor
}

// judgeBase keeps the least delay of at least the last baseFor, and at most twice that.
func (e *estimator) judgeBase(a ack) {
	now, before := &e.base[0], &e.base[1]
	switch {
	case now.since == 0:
		now.since, now.least = a.reported, a.delay()
		*before = *now
	case a.reported-now.since > baseFor:
		*before = *now
		now.since, now.least = a.reported, a.delay()
	}
	now.least = min(now.least, a.delay())
}

// waited returns how long a packet waited in queues.
func (e *estimator) waited(a ack) time.Duration {
	return a.delay() - min(e.base[0].least, e.base[1].least)
}

// roundTrip returns the time from the last packet that arrived to the report about it, without the time that the packet
// waited on its way. It is 0 if there is no such packet.
func (e *estimator) roundTrip() time.Duration {
	if len(e.recent) == 0 {
		return 0
	}
	last := e.recent[len(e.recent)-1]
	return last.reported - last.sent - e.waited(last)
}

// queue returns how long the last packet that arrived waited on its way.
func (e *estimator) queue() time.Duration {
	if len(e.recent) == 0 {
		return 0
	}
	return e.waited(e.recent[len(e.recent)-1])
}

// since drops the packets that were reported before a time, and the oldest ones if there are too many.
func since(of []ack, before time.Duration) []ack {
	n := max(0, len(of)-maxRecent)
	for n < len(of) && of[n].reported < before {
		n++
	}
	return append(of[:0], of[n:]...)
}

// measure returns the rate at which the last packets arrived, as far back as each of them had waited, or 0 if they are
// too few. quickest is how long even the quickest packet of the last standingFor waited. spread is true if the packets
// were sent in a burst and arrived so far apart that rate is the path's and not the sender's.
func (e *estimator) measure() (rate float64, quickest time.Duration, spread bool) {
	end := len(e.recent) - 1
	last, first, bytes := e.recent[end], end, 0
	quickest = e.waited(last)
	for i := end - 1; i >= 0 && last.arrived-e.recent[i].arrived <= standingFor; i-- {
		quickest = min(quickest, e.waited(e.recent[i]))
	}

	for first > 0 && e.waited(e.recent[first]) >= busyAfter && last.arrived-e.recent[first-1].arrived <= measureFor {
		bytes, first = bytes+e.recent[first].size, first-1
	}
	if took := last.arrived - e.recent[first].arrived; end-first >= busyPackets && took >= busyFor {
		rate = float64(bytes) * 8 / took.Seconds()
		left := last.sent - e.recent[first].sent
		spread = bytes >= minBurst && took-left >= burstSpread && left < took*3/4
	}

	return rate, quickest, spread
}

// stands reports whether the queue on the way is too long. If it stays although less is sent than arrives, it is jitter
// or somebody else's queue, and stands raises the limit.
func (e *estimator) stands(quickest, now time.Duration) bool {
	standing := quickest > e.full
	if !standing {
		e.stood = now
	}

	switch {
	case now-e.stood > foreignAfter:
		e.full, e.stood = min(2*e.full, maxFull), now
	case quickest < e.full/2:
		e.full = max(fullAfter, e.full-(now-e.judged)/20)
	}
	e.judged = now
	return standing
}

// loss returns which share of the last second's packets was lost, and the rate in bit/s of those that arrived.
func (e *estimator) loss() (delivered, share float64) {
	all := len(e.recent) + len(e.lost)
	if all < minLossy {
		return 0, 0
	}
	bytes := 0
	for _, a := range e.recent {
		bytes += a.size
	}

	took := max(lossyFor, e.recent[len(e.recent)-1].arrived-e.recent[0].arrived)
	return float64(bytes) * 8 / took.Seconds(), float64(len(e.lost)) / float64(all)
}
