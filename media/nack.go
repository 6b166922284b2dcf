package media

import (
	"slices"
	"time"
)

const (
	// A missing packet is waited for as long as one or two requests may still bring it, but never for less than
	// minPatience: giving it up costs every picture up to the next keyframe.
	minPatience = time.Second
	maxPatience = 2 * time.Second

	// reorderDelay is how long a packet may be overtaken by later ones before it is requested.
	reorderDelay = 5 * time.Millisecond
	// repeatDelay is when every request is sent a second time: a request is small, and may be lost like any packet.
	repeatDelay = 20 * time.Millisecond

	// initialRetry is the time between two requests while the round trip is unknown.
	initialRetry   = 250 * time.Millisecond
	minRetryMargin = 15 * time.Millisecond
	maxRetry       = 400 * time.Millisecond

	maxRequested = 256 // packets in one request
)

// nackList holds a stream's missing packets, in order, and decides when to request each of them again (NACK; RFC 4585,
// section 6.2.1).
type nackList struct {
	packets      []missingPacket
	roundTrip    time.Duration // from a request to its packet; 0: unknown
	roundTripVar time.Duration
}

// missingPacket is a packet that has not arrived although a later one has.
type missingPacket struct {
	number         uint16
	since          time.Time // when a later packet arrived
	firstRequested time.Time
	lastRequested  time.Time
	requests       int
}

// add notes that the packets from first up to but not including end are missing.
func (l *nackList) add(first, end uint16, now time.Time) {
	for n := first; n != end; n++ {
		l.packets = append(l.packets, missingPacket{number: n, since: now})
	}
}

// arrived removes a packet that has arrived, and learns from the time it took.
func (l *nackList) arrived(number uint16, now time.Time) {
	p, ok := l.remove(number)
	if !ok || p.requests == 0 {
		return
	}

	// After more than a pair of requests, nobody knows which one brought the packet (Karn's algorithm). As a first
	// measurement it is better than none.
	if p.requests <= 2 || l.roundTrip == 0 {
		l.learn(now.Sub(p.firstRequested))
	}
}

// remove removes a packet from the list. ok reports whether it was there.
func (l *nackList) remove(number uint16) (p missingPacket, ok bool) {
	i := slices.IndexFunc(l.packets, func(p missingPacket) bool { return p.number == number })
	if i < 0 {
		return missingPacket{}, false
	}
	p = l.packets[i]
	l.packets = slices.Delete(l.packets, i, i+1)
	return p, true
}

// learn follows RFC 6298, section 2, with a tighter bound: requesting a packet too early costs one packet, requesting
// it too late freezes the picture.
func (l *nackList) learn(took time.Duration) {
	if l.roundTrip == 0 {
		l.roundTrip, l.roundTripVar = took, took/2
		return
	}
	l.roundTripVar += ((l.roundTrip - took).Abs() - l.roundTripVar) / 4
	l.roundTrip += (took - l.roundTrip) / 8
}

// retryDelay returns how long after a repeated request the next one may follow.
func (l *nackList) retryDelay() time.Duration {
	if l.roundTrip == 0 {
		return initialRetry
	}
	return min(l.roundTrip+max(2*l.roundTripVar, minRetryMargin), maxRetry)
}

// request returns the packets to request now, at most maxRequested, and counts them as requested.
func (l *nackList) request(now time.Time) (numbers []uint16) {
	retry := l.retryDelay()
	for i := range l.packets {
		p := &l.packets[i]
		if now.Before(p.due(retry)) {
			continue
		}

		if p.requests == 0 {
			p.firstRequested = now
		}
		p.lastRequested = now
		p.requests++
		if numbers = append(numbers, p.number); len(numbers) == maxRequested {
			break
		}
	}
	return numbers
}

// due returns when a packet should be requested next. Requests come in pairs, repeatDelay apart, and retry passes
// between two pairs.
func (p *missingPacket) due(retry time.Duration) time.Time {
	switch {
	case p.requests == 0:
		return p.since.Add(reorderDelay)
	case p.requests%2 == 1:
		return p.lastRequested.Add(repeatDelay)
	}
	return p.lastRequested.Add(retry)
}

// overdue reports whether the first missing packet has been waited for long enough.
func (l *nackList) overdue(now time.Time) bool {
	patience := min(max(3*l.roundTrip, minPatience), maxPatience)
	return len(l.packets) > 0 && now.Sub(l.packets[0].since) >= patience
}
