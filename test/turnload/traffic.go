//go:build linux

package turnload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Traffic is what became of the packets that were sent. All have Payload bytes.
type Traffic struct {
	Sent      int // taken by the kernel
	Delivered int // to the client that they were for, once
	Reordered int // delivered after a packet that was sent later
	Astray    int // came to another client, from another peer, or twice
	Unsent    int // refused by the kernel: the generator's own loss
}

// flow is what one client sends to its peer.
type flow struct {
	sent     uint32 // number of the next packet
	base     uint32 // number of the first that is counted
	seen     uint64 // the last 64 packets before high that came, the newest in bit 0
	high     uint32 // number after the highest that came
	inFlight int    // packets under way
}

// How many packets may be under way: few enough for the smallest socket buffer that any server gives its relayed
// addresses (coturn: 128 KiB), and for a veth's ring of 256; and enough to keep every server busy.
const (
	maxPerFlow  = 48
	maxInFlight = 192
)

// minStall is how long nothing may arrive, by default, before all that is under way counts as lost. On a busy machine a
// server waits less than that for its turn; a shorter time would send the server more than it has room for.
const minStall = 200 * time.Millisecond

// Saturate keeps packets under way between all clients, in bursts of one flow, the flows in turn: first for warm, then
// for measured. It calls mark when the second phase begins and when it ends. Each phase lasts longer if so little came
// that the server cannot have been busy. Saturate returns how many packets were delivered between the two calls, and
// what became of all packets.
func (l *Load) Saturate(burst int, warm, measured time.Duration,
	mark func() error) (delivered int, all Traffic, err error) {
	l.reset()
	for _, phase := range []time.Duration{warm, measured} {
		delivered = l.traffic.Delivered
		if err := l.keepUp(burst, phase); err != nil {
			return 0, l.traffic, err
		}
		if err := mark(); err != nil {
			return 0, l.traffic, err
		}
		delivered = l.traffic.Delivered - delivered
	}

	err = l.drain()
	return delivered, l.traffic, err
}

// keepUp does the work of one phase of Saturate.
func (l *Load) keepUp(burst int, length time.Duration) error {
	begin, enough := time.Now(), l.traffic.Delivered+2*maxInFlight
	for now, arrived := begin, begin; now.Sub(begin) < length || l.traffic.Delivered < enough; now = time.Now() {
		if now.Sub(begin) > length+patience {
			return fmt.Errorf("%d packets delivered in %v: %w", l.traffic.Delivered, now.Sub(begin), ErrRefused)
		}
		if err := l.fill(burst, now); err != nil {
			return err
		}

		n, err := l.countArrived()
		if err != nil {
			return err
		}
		switch {
		case n > 0:
			arrived = now
		case now.Sub(arrived) > l.stall:
			l.giveUp()
			arrived = now
		}
	}

	return nil
}

// SendAtRate sends rate packets a second for length, in bursts of one flow, the flows in turn. It returns what became
// of them, and how long each delivered one took, from before it was sent until the kernel had it back.
func (l *Load) SendAtRate(burst, rate int, length time.Duration) (Traffic, []time.Duration, error) {
	l.reset()
	if err := l.socket.stamps(true); err != nil {
		return Traffic{}, nil, err
	}
	l.late = make([]int64, 0, int(length.Seconds()*float64(rate))+burst)
	defer func() { l.late = nil }()

	every := time.Duration(burst) * time.Second / time.Duration(rate)
	begin := time.Now()
	for due := time.Duration(0); due < length; {
		now := time.Now()
		if late := now.Sub(begin) - due; late >= 0 {
			due += every
			if late > 10*every { // the generator itself was held up: it never sends what it missed
				due = now.Sub(begin)
			}
			if err := errors.Join(l.queueBurst(burst, now), l.flush()); err != nil {
				return Traffic{}, nil, err
			}
		}

		if _, err := l.countArrived(); err != nil {
			return Traffic{}, nil, err
		}
	}

	if err := l.drain(); err != nil {
		return Traffic{}, nil, err
	}
	out := make([]time.Duration, len(l.late))
	for i, ns := range l.late {
		out[i] = time.Duration(ns)
	}

	return l.traffic, out, l.socket.stamps(false)
}

// reset starts to count anew: packets sent before do not count, even if they still come.
func (l *Load) reset() {
	l.traffic = Traffic{}
	l.giveUp()
	for i := range l.flows {
		l.flows[i].base = l.flows[i].sent
	}
}

// giveUp gives up on all packets that are under way.
func (l *Load) giveUp() {
	l.inFlight = 0
	for i := range l.flows {
		l.flows[i].inFlight = 0
	}
}

// fill sends bursts until enough packets are under way.
func (l *Load) fill(burst int, now time.Time) error {
	for tried := 0; l.inFlight+burst <= maxInFlight && tried < len(l.flows); tried++ {
		if l.flows[l.next].inFlight+burst > maxPerFlow {
			l.next = (l.next + 1) % len(l.flows)
			continue
		}
		if err := l.queueBurst(burst, now); err != nil {
			return err
		}
		if l.socket.nextBuffer() == nil {
			break
		}
	}
	return l.flush()
}

// queueBurst queues a burst of the flow whose turn it is. On a stream it sends it at once.
func (l *Load) queueBurst(burst int, now time.Time) error {
	i := l.next
	l.next = (i + 1) % len(l.flows)
	f := &l.flows[i]
	if l.usesStream(i) {
		length, size := l.putBurst(l.scratch, i, burst, f.sent, now.UnixNano())
		if err := l.crowd.send(i, l.scratch[:length], size); err != nil {
			return err
		}
	} else {
		length, size := l.putBurst(l.socket.nextBuffer(), i, burst, f.sent, now.UnixNano())
		to := l.socket.server
		if l.direct {
			to = rawAddress(l.address(i^1), l.socket.port)
		}
		l.socket.enqueue(l.address(i), to, length, size)
	}

	f.sent += uint32(burst)
	f.inFlight += burst
	l.inFlight += burst
	l.traffic.Sent += burst
	l.burst = burst
	return nil
}

// flush sends what is queued.
func (l *Load) flush() error {
	queued := l.socket.queued
	sent, err := l.socket.flush()
	unsent := (queued - sent) * l.burst
	l.traffic.Unsent += unsent
	l.traffic.Sent -= unsent
	return err
}

// countArrived counts what has come, and returns how many packets that was.
func (l *Load) countArrived() (int, error) {
	packets := 0
	err := l.receive(func(r received) {
		client, ok := l.clientAt(r.to)
		for data := r.data; ok && len(data) > 0; {
			n := min(len(data), r.size)
			l.count(data[:n], client, r.at)
			data = data[n:]
			packets++
		}
	})

	return packets, err
}

// count counts one message that came to a client.
func (l *Load) count(message []byte, client int, at int64) {
	if isAnswer(message) { // the answer to a request that was sent again
		return
	}
	p := l.payload(message, client)
	if p == nil || binary.BigEndian.Uint32(p) != mark || binary.BigEndian.Uint32(p[4:]) != uint32(client^1) {
		l.traffic.Astray++
		return
	}

	f := &l.flows[client^1]
	number := binary.BigEndian.Uint32(p[8:])
	if int32(number-f.base) < 0 {
		return
	}
	switch ahead := int32(number - f.high); {
	case ahead >= 64:
		f.seen, f.high = 1, number+1
	case ahead >= 0:
		f.seen, f.high = f.seen<<(ahead+1)|1, number+1
	case ahead >= -64 && f.seen>>(-ahead-1)&1 == 0:
		f.seen |= 1 << (-ahead - 1)
		l.traffic.Reordered++
	default:
		l.traffic.Astray++ // twice, or so late that we cannot tell
		return
	}

	l.traffic.Delivered++
	if f.inFlight > 0 { // else we had given it up
		f.inFlight--
		l.inFlight--
	}

	if l.late != nil && at != 0 {
		l.late = append(l.late, at-int64(binary.BigEndian.Uint64(p[12:])))
	}
}

// drain receives what is still under way, until nothing more comes. A server from which nothing has come yet gets more
// time.
func (l *Load) drain() error {
	for last := time.Now(); l.inFlight > 0 &&
		(time.Since(last) < l.stall || l.traffic.Delivered == 0 && time.Since(last) < patience); {
		n, err := l.countArrived()
		if err != nil {
			return err
		}
		if n > 0 {
			last = time.Now()
		}
	}
	return nil
}
