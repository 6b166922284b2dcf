package media

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// assemblerRoom is how many packets may wait behind a missing one, at most: a second at 16 Mbit/s.
	assemblerRoom = 2048
	// lateMost is how many packets in a row may come too late before they are taken for a stream that began anew.
	lateMost = 256
)

// Assembler puts RTP packets of one SSRC in order and makes frames of them. It waits for a missing packet for as long as one
// that is sent again can still come, 2 s at most, then goes on without it. It is used from one goroutine.
type Assembler struct {
	depacketizer *Depacketizer
	waiting      map[uint16]*rtp.Packet
	holes        holes
	next         uint16 // the sequence number that is due
	newest       uint16 // the highest that came
	started      bool
	gap          bool // frames are missing before the next one
	late         int  // packets in a row that came too late
	damaged      int
}

// NewAssembler returns an Assembler for frames in carrier c.
func NewAssembler(c Carrier) *Assembler {
	return &Assembler{depacketizer: NewDepacketizer(c), waiting: make(map[uint16]*rtp.Packet)}
}

// Damaged counts the packets and frames that did not have the carrier's shape or came in pieces.
func (a *Assembler) Damaged() int { return a.damaged }

// Waiting reports whether packets are missing: then Missing and Expire are to be called every few milliseconds.
func (a *Assembler) Waiting() bool { return len(a.holes.open) > 0 }

// Missing returns the sequence numbers that are to be asked for now (NACK; RFC 4585, 6.2.1), in order, at most 256.
func (a *Assembler) Missing() []uint16 { return a.holes.ask(time.Now()) }

// Push takes a packet, which the Assembler may keep, and returns the frames that are now whole, and how many packets
// were given up. A packet that comes twice or too late is dropped, unless nothing else comes: then the sender began anew.
func (a *Assembler) Push(p *rtp.Packet) (frames []Frame, lost int) {
	number := p.SequenceNumber
	if !a.started {
		a.started, a.next, a.newest = true, number, number-1
	}
	ahead := number - a.next // RFC 3550, A.1: modulo 2^16
	if ahead >= 1<<15 {
		if a.late++; a.late < lateMost {
			return nil, 0
		}
		a.begin(number)
		ahead = 0
	}
	a.late = 0
	now := time.Now()
	if step := number - a.newest; step > 0 && step < 1<<15 {
		if step > assemblerRoom { // no line loses so many: the sender has left them out, or has begun anew
			lost = int(number - a.next)
			a.begin(number)
			ahead = 0
		} else {
			a.holes.add(a.newest+1, number, now)
		}
		a.newest = number
	} else {
		a.holes.fill(number, now)
	}
	if ahead != 0 {
		a.waiting[number] = p
		expired, more := a.Expire()
		return expired, lost + more
	}
	frames = a.drain(a.deliver(p, nil))
	expired, more := a.Expire()
	return append(frames, expired...), lost + more
}

// begin forgets all and goes on at number.
func (a *Assembler) begin(number uint16) {
	a.depacketizer.Reset()
	clear(a.waiting)
	a.holes.open = a.holes.open[:0]
	a.gap, a.next, a.newest = true, number, number
}

// Expire gives up what has been missing for too long, and returns what waited for it.
func (a *Assembler) Expire() (frames []Frame, lost int) {
	now := time.Now()
	for a.holes.overdue(now) || a.newest-a.next >= assemblerRoom && a.Waiting() {
		for ; a.waiting[a.next] == nil; a.next++ {
			a.holes.fill(a.next, time.Time{})
			lost++
		}
		a.depacketizer.Reset()
		a.gap = true
		frames = a.drain(frames)
	}
	return frames, lost
}

// drain delivers what waited for the packet before it.
func (a *Assembler) drain(frames []Frame) []Frame {
	for {
		p := a.waiting[a.next]
		if p == nil {
			return frames
		}
		delete(a.waiting, a.next)
		frames = a.deliver(p, frames)
	}
}

func (a *Assembler) deliver(p *rtp.Packet, frames []Frame) []Frame {
	a.next++
	frame, done, err := a.depacketizer.Push(p.Payload, p.Marker)
	if err != nil {
		a.damaged++
		a.gap = true
	}
	if !done {
		return frames
	}
	frame.Timestamp, frame.Gap, a.gap = p.Timestamp, a.gap, false
	return append(frames, frame)
}
