package turn

import "time"

const (
	// gatherFor is how long a worker lets messages gather. Including the time to wake up, it adds less than 100 µs to a
	// packet's way, at the median.
	gatherFor = 30 * time.Microsecond

	// minGathered is how many messages must be expected in that time for it to be worth a call and a wake-up.
	minGathered = 4

	// maxRound is what a round counts as if it took longer; otherwise a pause would be remembered for ever.
	maxRound = time.Millisecond
)

// gathering decides when a worker should wait a little while messages are on their way, rather than be woken for each:
// when recent rounds, the latest most of all, brought many messages in little time, and one datagram in each. What
// comes joined, in bursts, gains nothing from waiting, and at a low rate nobody waits. A wait that did not adapt would
// help at some rates and cost at others.
type gathering struct {
	span, messages, datagrams float64 // of recent rounds, each worth 7/8 of the next; span in nanoseconds
}

// round takes in one round and the time since the one before, and reports whether to wait before the next. A full round
// means that more is ready to be read already.
func (g *gathering) round(took time.Duration, messages, datagrams int) bool {
	const keep = 7.0 / 8
	g.span = g.span*keep + float64(min(took, maxRound))
	g.messages = g.messages*keep + float64(messages)
	g.datagrams = g.datagrams*keep + float64(datagrams)

	full := messages >= workerSlots
	joined := g.datagrams >= 2*g.messages
	fast := g.messages*float64(gatherFor) >= minGathered*g.span
	return !full && !joined && fast
}
