package rtsp

import "time"

const (
	// reorderDelay is how long to wait for a packet that another one has overtaken. openingDelay is how long the first
	// packet waits for those that it may have overtaken.
	reorderDelay = 100 * time.Millisecond
	openingDelay = 20 * time.Millisecond
	// maxWaiting and maxWaitingBytes bound the packets that wait behind a missing one.
	maxWaiting      = 2048
	maxWaitingBytes = 4 << 20
	// maxLate is how many packets in a row may arrive too late before they count as a stream that has started anew.
	maxLate = 64
)

// packet holds what matters about an RTP packet.
type packet struct {
	number    uint16
	marker    bool
	timestamp uint32
	payload   []byte
	arrived   time.Time
}

// jitterBuffer puts packets that arrive over UDP in order. A missing packet delays those behind it for at most
// reorderDelay.
type jitterBuffer struct {
	deliver func(packet)
	lost    func(packets int) // called between two deliveries
	started bool
	next    uint16 // the number that is due
	waiting map[uint16]packet
	bytes   int       // in waiting
	since   time.Time // when the first waiting packet arrived
	late    int       // packets in a row that arrived too late
	dropped int       // packets that arrived twice or too late
}

func newJitterBuffer(deliver func(packet), lost func(int)) *jitterBuffer {
	return &jitterBuffer{deliver: deliver, lost: lost, waiting: make(map[uint16]packet)}
}

// push adds a packet, whose payload need only be valid during the call.
func (b *jitterBuffer) push(p packet) {
	if !b.started {
		b.hold(p)
		b.expire(p.arrived)
		return
	}

	ahead := p.number - b.next // RFC 3550, A.1: modulo 2^16
	switch {
	case ahead >= 1<<15:
		b.dropped++
		if b.late++; b.late == maxLate {
			b.restart(p)
		}
		return
	case ahead > maxWaiting:
		b.restart(p)
		return
	}

	b.late = 0
	if ahead == 0 {
		b.next++
		b.deliver(p)
		b.drain()
	} else {
		b.hold(p)
	}
	b.expire(p.arrived)
}

func (b *jitterBuffer) hold(p packet) {
	if _, twice := b.waiting[p.number]; twice {
		b.dropped++
		return
	}
	if len(b.waiting) == 0 {
		b.since = p.arrived
	}

	p.payload = append(make([]byte, 0, len(p.payload)), p.payload...)
	b.waiting[p.number] = p
	b.bytes += len(p.payload)
}

// drain delivers the waiting packets up to the next missing one.
func (b *jitterBuffer) drain() {
	for {
		p, ok := b.waiting[b.next]
		if !ok {
			return
		}
		delete(b.waiting, b.next)
		b.bytes -= len(p.payload)
		b.next++
		b.since = p.arrived // close enough: the packets that still wait arrived after it, or a moment before
		b.deliver(p)
	}
}

// deadline returns when expire must be called. ok is false if nothing waits.
func (b *jitterBuffer) deadline() (at time.Time, ok bool) {
	return b.since.Add(b.delay()), len(b.waiting) > 0
}

func (b *jitterBuffer) delay() time.Duration {
	if !b.started {
		return openingDelay
	}
	return reorderDelay
}

// expire gives up on packets that have been missing for too long.
func (b *jitterBuffer) expire(now time.Time) {
	for len(b.waiting) > 0 && (now.Sub(b.since) >= b.delay() || len(b.waiting) > maxWaiting ||
		b.bytes > maxWaitingBytes) {
		if !b.started {
			b.started, b.next = true, b.lowest()
			b.drain()
			continue
		}

		missing := 0
		for ; ; b.next++ {
			if _, ok := b.waiting[b.next]; ok {
				break
			}
			missing++
		}

		b.lost(missing)
		b.drain()
	}
}

// lowest returns the first of the waiting numbers, modulo 2^16.
func (b *jitterBuffer) lowest() uint16 {
	var low uint16
	first := true
	for number := range b.waiting {
		if first || number-low >= 1<<15 {
			low, first = number, false
		}
	}

	return low
}

// restart drops the waiting packets and continues with p.
func (b *jitterBuffer) restart(p packet) {
	b.lost(max(1, len(b.waiting)))
	clear(b.waiting)
	b.bytes, b.late, b.next = 0, 0, p.number+1
	b.deliver(p)
}
