//go:build linux

package turnload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Traffic is what became of the packets that were sent. All are of Payload bytes.
type Traffic struct {
	Sent      int // the server's kernel took it
	Delivered int // to the client that it was for, once
	Reordered int // delivered after one that was sent later
	Astray    int // came to another client, from another peer, or twice
	Unsent    int // this kernel took it for no socket: the generator's own loss
}

// flow is what one client sends to its peer.
type flow struct {
	sent uint32 // number of the next packet
	base uint32 // number of the first that is counted
	seen uint64 // the last 64 packets before high that came, the newest in bit 0
	high uint32 // number after the highest that came
	open int    // packets under way
}

// How many packets may be under way: few enough to stay within the smallest socket buffer that a server of any make
// gives its relayed addresses (coturn: 128 KiB), and within a veth's ring of 256; enough to keep every server at work.
const (
	openPerFlow = 48
	openInAll   = 192
)

// stall is how long nothing may arrive before all that is under way counts as lost: longer than a server waits for its turn on a
// busy machine, or it would be sent more than it has room for.
const stall = 200 * time.Millisecond

// Saturate keeps packets under way between all clients, in bursts of one flow, the flows in turn: first for the time of
// warm, then for that of measured, at whose beginning and end it calls mark. Each lasts longer where too little came for the
// server to have been at work within it. It returns how many were delivered between the two calls, and what became of all.
func (l *Load) Saturate(burst int, warm, measured time.Duration, mark func() error) (delivered int, all Traffic, err error) {
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

// keepUp is Saturate for a while.
func (l *Load) keepUp(burst int, length time.Duration) error {
	begin, enough := time.Now(), l.traffic.Delivered+2*openInAll
	for now, arrived := begin, begin; now.Sub(begin) < length || l.traffic.Delivered < enough; now = time.Now() {
		if now.Sub(begin) > length+patience {
			return fmt.Errorf("%d packets delivered in %v: %w", l.traffic.Delivered, now.Sub(begin), ErrRefused)
		}
		if err := l.fill(burst, now); err != nil {
			return err
		}
		n, err := l.take()
		if err != nil {
			return err
		}
		switch {
		case n > 0:
			arrived = now
		case now.Sub(arrived) > stall:
			l.forget()
			arrived = now
		}
	}
	return nil
}

// Pace sends so many packets a second for so long, in bursts of one flow, the flows in turn, and returns what became of
// them and how long each delivered one took, from before it was sent until the kernel had it back.
func (l *Load) Pace(burst, rate int, length time.Duration) (Traffic, []time.Duration, error) {
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
			if late > 10*every { // the generator itself was held up: what it did not send then, it never does
				due = now.Sub(begin)
			}
			if err := errors.Join(l.put(burst, now), l.send()); err != nil {
				return Traffic{}, nil, err
			}
		}
		if _, err := l.take(); err != nil {
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

// reset begins to count anew: what was sent before and comes yet is no matter.
func (l *Load) reset() {
	l.traffic = Traffic{}
	l.forget()
	for i := range l.flows {
		l.flows[i].base = l.flows[i].sent
	}
}

// forget gives up on all that is under way.
func (l *Load) forget() {
	l.open = 0
	for i := range l.flows {
		l.flows[i].open = 0
	}
}

// fill sends bursts until enough packets are under way.
func (l *Load) fill(burst int, now time.Time) error {
	for tried := 0; l.open+burst <= openInAll && tried < len(l.flows); tried++ {
		if l.flows[l.next].open+burst > openPerFlow {
			l.next = (l.next + 1) % len(l.flows)
			continue
		}
		if err := l.put(burst, now); err != nil {
			return err
		}
		if l.socket.room() == nil {
			break
		}
	}
	return l.send()
}

// put queues a burst of the flow whose turn it is; on a stream it is sent at once.
func (l *Load) put(burst int, now time.Time) error {
	i := l.next
	l.next = (i + 1) % len(l.flows)
	f := &l.flows[i]
	if l.streams(i) {
		length, size := l.putBurst(l.scratch, i, burst, f.sent, now.UnixNano())
		if err := l.crowd.send(i, l.scratch[:length], size); err != nil {
			return err
		}
	} else {
		length, size := l.putBurst(l.socket.room(), i, burst, f.sent, now.UnixNano())
		to := l.socket.server
		if l.direct {
			to = rawAddress(l.address(i^1), l.socket.port)
		}
		l.socket.queue(l.address(i), to, length, size)
	}
	f.sent += uint32(burst)
	f.open += burst
	l.open += burst
	l.traffic.Sent += burst
	l.burst = burst
	return nil
}

// send sends what is queued.
func (l *Load) send() error {
	queued := l.socket.queued
	sent, err := l.socket.flush()
	unsent := (queued - sent) * l.burst
	l.traffic.Unsent += unsent
	l.traffic.Sent -= unsent
	return err
}

// take counts what has come, and returns how many packets that were.
func (l *Load) take() (int, error) {
	packets := 0
	err := l.receive(func(r received) {
		client, ok := l.at(r.to)
		for data := r.data; ok && len(data) > 0; {
			n := min(len(data), r.size)
			l.count(data[:n], client, r.at)
			data = data[n:]
			packets++
		}
	})
	return packets, err
}

// count takes one message that came to a client.
func (l *Load) count(message []byte, client int, at int64) {
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
		l.traffic.Astray++ // twice, or so late that nobody knows
		return
	}
	l.traffic.Delivered++
	if f.open > 0 { // else it was given up
		f.open--
		l.open--
	}
	if l.late != nil && at != 0 {
		l.late = append(l.late, at-int64(binary.BigEndian.Uint64(p[12:])))
	}
}

// drain takes what is still under way, until nothing comes any more. A server from which nothing came yet gets more time.
func (l *Load) drain() error {
	for last := time.Now(); l.open > 0 && (time.Since(last) < 200*time.Millisecond || l.traffic.Delivered == 0 && time.Since(last) < patience); {
		n, err := l.take()
		if err != nil {
			return err
		}
		if n > 0 {
			last = time.Now()
		}
	}
	return nil
}
