package turn

import "time"

const (
	gatherFor   = 30 * time.Microsecond // how long a worker lets messages gather; with waking up it adds less than 100 µs to a packet's way, at the median
	gatherLeast = 4                     // messages that must be to come in that time, for it to be worth a call and a wake-up
	gatherLimit = time.Millisecond      // a round that took longer counts as this, or a pause would be remembered for ever
)

// gathering says when a worker does well to wait a little with something to come, rather than to be woken for each message: when the last rounds, the
// latest most of all, brought many messages in little time, and one datagram each. What comes joined, in bursts, gains
// nothing, and at a low rate nobody waits. A wait that is not adapted so helps at some rates and costs at others.
type gathering struct {
	span, messages, datagrams float64 // of the last rounds, each worth 7/8 of the next; span in nanoseconds
}

// round takes in one round, with the time since the one before, and says whether to wait before the next. A full one means that more
// waits to be read already.
func (g *gathering) round(took time.Duration, messages, datagrams int) bool {
	const keep = 7.0 / 8
	g.span = g.span*keep + float64(min(took, gatherLimit))
	g.messages = g.messages*keep + float64(messages)
	g.datagrams = g.datagrams*keep + float64(datagrams)
	return messages < workerSlots && g.datagrams < 2*g.messages && g.messages*float64(gatherFor) >= gatherLeast*g.span
}
