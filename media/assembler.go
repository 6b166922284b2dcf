package media

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// reorderWindow is how many packets may wait behind a missing one, at most.
	reorderWindow = 256
	// reorderDelay is how long they wait: enough for a NACK (RFC 4585, 6.2.1) to be answered across a continent.
	reorderDelay = 250 * time.Millisecond
)

// Assembler puts RTP packets of one SSRC in order and makes frames of them. It waits for a missing packet until
// 256 packets or 250 ms of later ones have come, then goes on without it. It is used from one goroutine.
type Assembler struct {
	depacketizer *Depacketizer
	waiting      map[uint16]*rtp.Packet
	next         uint16 // the sequence number that is due
	started      bool
	since        time.Time // since when it is missing
	gap          bool      // frames are missing before the next one
	late         int       // packets in a row that came too late
	damaged      int
}

// NewAssembler returns an Assembler for frames in carrier c.
func NewAssembler(c Carrier) *Assembler {
	return &Assembler{depacketizer: NewDepacketizer(c), waiting: make(map[uint16]*rtp.Packet)}
}

// Damaged counts the packets and frames that did not have the carrier's shape or came in pieces.
func (a *Assembler) Damaged() int { return a.damaged }

// Push takes a packet, which the Assembler may keep, and returns the frames that are now whole, and how many packets
// were given up. A packet that comes twice or too late is dropped, unless nothing else comes: then the sender began anew.
func (a *Assembler) Push(p *rtp.Packet) (frames []Frame, lost int) {
	if !a.started {
		a.started, a.next = true, p.SequenceNumber
	}
	ahead := p.SequenceNumber - a.next // RFC 3550, A.1: modulo 2^16
	if ahead >= 1<<15 {
		if a.late++; a.late < reorderWindow {
			return nil, 0
		}
		a.depacketizer.Reset()
		clear(a.waiting)
		a.gap, a.next, ahead = true, p.SequenceNumber, 0
	}
	a.late = 0
	if ahead == 0 {
		frames = a.deliver(p, frames)
		return a.drain(frames), 0
	}
	if len(a.waiting) == 0 {
		a.since = time.Now()
	}
	a.waiting[p.SequenceNumber] = p
	if ahead < reorderWindow && time.Since(a.since) < reorderDelay {
		return nil, 0
	}
	for ; a.waiting[a.next] == nil; a.next++ {
		lost++
	}
	a.depacketizer.Reset()
	a.gap = true
	return a.drain(nil), lost
}

// drain delivers what waited for the packet before it.
func (a *Assembler) drain(frames []Frame) []Frame {
	for {
		p := a.waiting[a.next]
		if p == nil {
			break
		}
		delete(a.waiting, a.next)
		frames = a.deliver(p, frames)
	}
	if len(a.waiting) > 0 { // the next hole
		a.since = time.Now()
	}
	return frames
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
