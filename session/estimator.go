package session

import "time"

const (
	// firstRate is what a path is taken to carry before anything is known of it, in bit/s.
	firstRate = 8e6
	leastRate = 50e3
	mostRate  = 200e6

	// A packet that took busyAfter longer than the quickest has waited in a queue; jitter is below, as a rule. Where even the
	// quickest of the last standingFor took fullAfter longer, the queue stands, and must shrink.
	busyAfter   = 15 * time.Millisecond
	fullAfter   = 50 * time.Millisecond
	standingFor = 100 * time.Millisecond
	// A queue that stands for foreignAfter, although less is sent than arrives, is not this sender's.
	foreignAfter = time.Second
	fullMost     = 400 * time.Millisecond
	// The rate is measured over busyPackets at least that took busyFor at least, and over measureFor at most.
	busyPackets = 8
	busyFor     = 40 * time.Millisecond
	measureFor  = 500 * time.Millisecond
	burstLeast  = 15 << 10 // bytes
	burstSpread = 30 * time.Millisecond
	// Radio loses by itself, and such loss says nothing about the rate. Beyond lossyMost of a second's packets, somebody drops what is
	// above a rate without letting it wait; beyond lossySome, it may be so. More than outage packets lost in a row were no choice
	// of anybody's: nothing came through.
	lossyMost  = 0.25
	lossySome  = 0.08
	lossyLeast = 30 // packets
	lossyFor   = 200 * time.Millisecond
	outage     = 20
	// baseFor is for how long the quickest packet counts: routes and clocks change.
	baseFor = 10 * time.Second
	// recentMost bounds what is remembered, in packets.
	recentMost = 2048
)

// ack is what the other end says of one packet.
type ack struct {
	size     int           // bytes
	sent     time.Duration // by this end's clock
	lost     bool
	arrived  time.Duration // by the other end's clock; its distance from sent means something only beside another packet's
	reported time.Duration // by this end's clock
}

func (a ack) delay() time.Duration { return a.arrived - a.sent }

// estimator says how much a path carries, from when packets leave and arrive. An encoder's congestion control finds out by sending
// more until it is too much; a camera sends what it sends. So this one measures: while packets wait in a queue on the way, they arrive
// at exactly the rate of the narrowest line. When the sender was held back and nothing waited, the path may carry more.
type estimator struct {
	rate   float64       // bit/s
	queued bool          // a queue has been seen: from then on growth is careful
	lossy  bool          // much is lost
	full   time.Duration // a queue that is longer stands
	stood  time.Duration // since when one has
	judged time.Duration // when that was last looked at
	grown  time.Duration // when the rate last was raised, to see what comes of it

	recent  []ack // that arrived, oldest first, of the last second
	lost    []ack // the same of the lost
	pending []ack // lost, and nothing has arrived since
	base    [2]struct {
		since time.Duration
		least time.Duration
	}
}

func newEstimator() estimator { return estimator{rate: firstRate, full: fullAfter} }

// take takes a report's packets, in the order they were sent in. limited says whether the sender has been held back since the last
// report. It returns whether a queue stands on the way.
func (e *estimator) take(acks []ack, limited bool) (standing bool) {
	for _, a := range acks {
		if a.lost {
			if len(e.pending) <= outage { // what more there is, for ever perhaps, changes nothing
				e.pending = append(e.pending, a)
			}
			continue
		}
		if len(e.pending) <= outage {
			e.lost = append(e.lost, e.pending...)
		}
		e.pending = e.pending[:0]
		e.recent = append(e.recent, a)
		e.judgeBase(a)
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
	case standing && measured > 0, measured > e.rate, measured > 0 && spread:
		e.rate, e.queued = measured, true
	case !limited || quickest > e.full*busyAfter/fullAfter || lost > lossySome || now-e.grown < e.roundTrip()/2:
	case !e.queued:
		e.rate, e.grown = e.rate*2, now
	default:
		e.rate, e.grown = e.rate*1.1, now
	}
	if lost > lossyMost {
		e.rate, e.queued = min(e.rate, delivered), true
	}
	e.lossy = lost > lossySome
	e.rate = min(max(e.rate, leastRate), mostRate)
	return standing
}

// judgeBase keeps the least delay of the last baseFor to twice that.
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

// waited is how long a packet waited in queues.
func (e *estimator) waited(a ack) time.Duration {
	return a.delay() - min(e.base[0].least, e.base[1].least)
}

// roundTrip is the time from the last packet that arrived to the report about it, but for what it waited on its way; 0: there is none.
func (e *estimator) roundTrip() time.Duration {
	if len(e.recent) == 0 {
		return 0
	}
	last := e.recent[len(e.recent)-1]
	return last.reported - last.sent - e.waited(last)
}

// queue is how long the last packet that arrived waited on its way.
func (e *estimator) queue() time.Duration {
	if len(e.recent) == 0 {
		return 0
	}
	return e.waited(e.recent[len(e.recent)-1])
}

// since cuts off what was reported before a time, and what is too much.
func since(of []ack, before time.Duration) []ack {
	n := max(0, len(of)-recentMost)
	for n < len(of) && of[n].reported < before {
		n++
	}
	return append(of[:0], of[n:]...)
}

// measure is the rate at which the last packets arrived, those that had waited one after the other; 0 if they are too few. quickest
// is how long even the quickest of the last standingFor waited. spread says that they were a burst, and came out of it so much apart
// that it is the path's rate and not the sender's.
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
		spread = bytes >= burstLeast && took-left >= burstSpread && left < took*3/4
	}
	return rate, quickest, spread
}

// stands says whether a queue is too long. One that stays although less is sent than arrives is jitter, or somebody else's, and then a
// queue must be longer to be too long.
func (e *estimator) stands(quickest, now time.Duration) bool {
	standing := quickest > e.full
	if !standing {
		e.stood = now
	}
	switch {
	case now-e.stood > foreignAfter:
		e.full, e.stood = min(2*e.full, fullMost), now
	case quickest < e.full/2:
		e.full = max(fullAfter, e.full-(now-e.judged)/20)
	}
	e.judged = now
	return standing
}

// loss is the share of the last second's packets that was lost, and the rate of those that were not.
func (e *estimator) loss() (delivered, share float64) {
	all := len(e.recent) + len(e.lost)
	if all < lossyLeast {
		return 0, 0
	}
	bytes := 0
	for _, a := range e.recent {
		bytes += a.size
	}
	took := max(lossyFor, e.recent[len(e.recent)-1].arrived-e.recent[0].arrived)
	return float64(bytes) * 8 / took.Seconds(), float64(len(e.lost)) / float64(all)
}
