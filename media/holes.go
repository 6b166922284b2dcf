package media

import "time"

const (
	// A missing packet is waited for as long as an asking or two may still bring it, but patienceLeast in any case: to give it up
	// costs everything up to the next keyframe.
	patienceLeast = time.Second
	patienceMost  = 2 * time.Second
	// reordering is how long a packet may be overtaken before it is asked for.
	reordering = 5 * time.Millisecond
	// echo is when a packet is asked for again in any case: an asking is small, and may be lost like any other packet.
	echo = 20 * time.Millisecond
	// firstRetry is when a packet is asked for a second time as long as nothing is known of the path.
	firstRetry  = 250 * time.Millisecond
	retryMargin = 15 * time.Millisecond
	retryMost   = 400 * time.Millisecond
	askMost     = 256 // packets at once
)

// hole is a packet that is missing.
type hole struct {
	number uint16
	since  time.Time // when a later one came
	first  time.Time // when it was first asked for
	asked  time.Time // last; zero: not yet
	times  int
}

// holes are the missing packets of a stream, in order.
type holes struct {
	open   []hole
	answer time.Duration // what a packet that was asked for takes; 0: unknown
	varies time.Duration // by how much that varies
}

// add notices that the packets from first to before end are missing.
func (h *holes) add(first, end uint16, now time.Time) {
	for n := first; n != end; n++ {
		h.open = append(h.open, hole{number: n, since: now})
	}
}

// fill takes a packet off the list. now is when it came; zero: it did not.
func (h *holes) fill(number uint16, now time.Time) {
	for i, o := range h.open {
		if o.number != number {
			continue
		}
		// Of several askings it is not known which was answered (Karn's algorithm).
		if o.times > 0 && (o.times <= 2 || h.answer == 0) && !now.IsZero() {
			h.learn(now.Sub(o.first))
		}
		h.open = append(h.open[:i], h.open[i+1:]...)
		return
	}
}

// learn follows RFC 6298, section 2, with a tighter bound: a packet asked for too early costs one packet, too late a freeze.
func (h *holes) learn(took time.Duration) {
	if h.answer == 0 {
		h.answer, h.varies = took, took/2
		return
	}
	h.varies += (abs(h.answer-took) - h.varies) / 4
	h.answer += (took - h.answer) / 8
}

func abs(d time.Duration) time.Duration { return max(d, -d) }

// retry is how long after an asking the next may follow.
func (h *holes) retry() time.Duration {
	if h.answer == 0 {
		return firstRetry
	}
	return min(h.answer+max(2*h.varies, retryMargin), retryMost)
}

// ask lists the packets whose time to be asked for has come.
func (h *holes) ask(now time.Time) (numbers []uint16) {
	retry := h.retry()
	for i := range h.open {
		o := &h.open[i]
		if len(numbers) == askMost {
			break
		}
		switch {
		case o.times == 0 && now.Sub(o.since) < reordering, o.times%2 == 1 && now.Sub(o.asked) < echo, o.times > 0 && o.times%2 == 0 && now.Sub(o.asked) < retry:
			continue
		case o.times == 0:
			o.first = now
		}
		o.asked = now
		o.times++
		numbers = append(numbers, o.number)
	}
	return numbers
}

// overdue says whether the first missing packet has been waited for long enough.
func (h *holes) overdue(now time.Time) bool {
	return len(h.open) > 0 && now.Sub(h.open[0].since) >= min(max(3*h.answer, patienceLeast), patienceMost)
}
