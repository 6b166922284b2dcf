package media

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// maxWaiting is how many packets may wait behind a missing one: a second at 16 Mbit/s.
	maxWaiting = 2048
	// maxLate is how many packets in a row may arrive too late before they count as a stream that has started anew.
	maxLate = 256
)

// Assembler puts the RTP packets of one SSRC in order and joins them into frames. It waits for a missing packet as long
// as a retransmission can still arrive, 2 s at most, and then continues without it. It must be used from one goroutine.
type Assembler struct {
	depacketizer *Depacketizer
	waiting      map[uint16]*rtp.Packet
	missing      nackList
	next         uint16 // the sequence number that is due
	newest       uint16 // the highest sequence number that has arrived
	started      bool
	gap          bool // frames are missing before the next one
	late         int  // packets in a row that arrived too late
	damaged      int
}

// NewAssembler returns an Assembler for frames in carrier c.
func NewAssembler(c Carrier) *Assembler {
	return &Assembler{depacketizer: NewDepacketizer(c), waiting: make(map[uint16]*rtp.Packet)}
}

// Damaged counts the packets that did not have the carrier's shape and the frames that were incomplete.
func (a *Assembler) Damaged() int { return a.damaged }

// Waiting reports whether packets are missing. While they are, Missing and Expire should be called every few
// milliseconds.
func (a *Assembler) Waiting() bool { return len(a.missing.packets) > 0 }

// Missing returns the sequence numbers to request now (NACK; RFC 4585, section 6.2.1), in order, at most 256. It counts
// them as requested.
func (a *Assembler) Missing() []uint16 { return a.missing.request(time.Now()) }

// Push adds a packet, which the Assembler may keep. It returns the frames that are now complete, and how many packets
// it gave up on. It drops a packet that arrives twice or too late, unless nothing else arrives: then the sender has
// started anew.
func (a *Assembler) Push(p *rtp.Packet) (frames []Frame, lost int) {
	number := p.SequenceNumber
	if !a.started {
		a.started, a.next, a.newest = true, number, number-1
	}
	if a.isLate(number) {
		if a.late++; a.late < maxLate {
			return nil, 0
		}
		a.restart(number)
	}
	a.late = 0
	lost = a.note(number, time.Now())

	if number == a.next {
		frames = a.drain(a.deliver(p, nil))
	} else {
		a.waiting[number] = p
	}
	expired, more := a.Expire()
	return append(frames, expired...), lost + more
}

// isLate reports whether a sequence number lies before the one that is due, modulo 2^16 (RFC 3550, section A.1).
func (a *Assembler) isLate(number uint16) bool { return number-a.next >= 1<<15 }

// note updates the list of missing packets when a packet has arrived. It returns how many packets it gave up on.
func (a *Assembler) note(number uint16, now time.Time) (lost int) {
	step := number - a.newest
	switch {
	case step == 0 || step >= 1<<15:
		a.missing.arrived(number, now)
		return 0
	case step > maxWaiting: // no network loses so many: the sender has left them out, or has started anew
		lost = int(number - a.next)
		a.restart(number)
		return lost
	}

	a.missing.add(a.newest+1, number, now)
	a.newest = number
	return 0
}

// restart forgets everything and continues at number.
func (a *Assembler) restart(number uint16) {
	a.depacketizer.Reset()
	clear(a.waiting)
	a.missing.packets = a.missing.packets[:0]
	a.gap, a.next, a.newest = true, number, number
}

// Expire gives up on packets that have been missing for too long. It returns the frames that waited for them, and how
// many packets it gave up on.
func (a *Assembler) Expire() (frames []Frame, lost int) {
	now := time.Now()
	for a.missing.overdue(now) || a.newest-a.next >= maxWaiting && a.Waiting() {
		for ; a.waiting[a.next] == nil; a.next++ {
			a.missing.remove(a.next)
			lost++
		}
		a.depacketizer.Reset()
		a.gap = true
		frames = a.drain(frames)
	}
	return frames, lost
}

// drain delivers the waiting packets up to the next missing one.
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

// deliver passes the packet that is due to the depacketizer, and appends the frame that it completes, if any.
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
