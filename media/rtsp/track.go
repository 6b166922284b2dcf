package rtsp

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/clock"
)

// Stats counts what a [Client] received since it was made.
type Stats struct {
	Packets int64 // RTP packets
	Lost    int64 // packets that never arrived
	Late    int64 // packets that arrived twice, or after they had been given up
	Damaged int64 // packets that could not be read, and bytes between messages
	Units   int64 // access units passed on
	Dropped int64 // access units that were incomplete
}

// counters are the Stats of a running client.
type counters struct {
	packets, lost, late, damaged, units, dropped atomic.Int64
}

func (c *counters) stats() Stats {
	return Stats{
		Packets: c.packets.Load(),
		Lost:    c.lost.Load(),
		Late:    c.late.Load(),
		Damaged: c.damaged.Load(),
		Units:   c.units.Load(),
		Dropped: c.dropped.Load(),
	}
}

// track turns the RTP packets of one track into access units. Except for silence, it must be used from one goroutine.
type track struct {
	description
	way      transport
	sink     func(Unit)
	counters *counters
	report   *report

	parsed    rtp.Packet
	sequence  sequence
	jitter    *jitterBuffer
	assembler *assembler
	timeline  timeline
	begun     clock.Moment // when the first access unit was captured
	err       error        // ErrTooLarge

	last    atomic.Int64 // when the last packet arrived, in Unix nanoseconds; 0 if none has
	longest atomic.Int64 // the longest time between two packets, in nanoseconds
}

func newTrack(d description, way transport, c Config, sink func(Unit), counters *counters) *track {
	t := &track{
		description: d,
		way:         way,
		sink:        sink,
		counters:    counters,
		report:      newReport(d.clockRate),
		timeline:    timeline{rate: d.clockRate},
	}

	t.assembler = newAssembler(newFormat(d), c.MaxUnit, c.Clock, t.emit)
	t.jitter = newJitterBuffer(t.deliver, t.missed)
	return t
}

// receive handles an RTP packet, which need only be valid during the call.
func (t *track) receive(b []byte, now time.Time) {
	p := &t.parsed
	if err := p.Unmarshal(b); err != nil || p.PayloadType >= 72 && p.PayloadType <= 76 {
		t.counters.damaged.Add(1)
		return
	}
	if !t.alone && p.PayloadType != t.payload {
		return // another format of the same track
	}

	t.noteArrival(now)
	t.counters.packets.Add(1)
	if t.report.count(p.SSRC, p.SequenceNumber, p.Timestamp, now) {
		t.missed(0)
		t.sequence = sequence{}
		t.jitter = newJitterBuffer(t.deliver, t.missed)
	}

	next := packet{
		number:    p.SequenceNumber,
		marker:    p.Marker,
		timestamp: p.Timestamp,
		payload:   p.Payload,
		arrived:   now,
	}

	if t.way == overUDP {
		before := t.jitter.dropped
		t.jitter.push(next)
		t.counters.late.Add(int64(t.jitter.dropped - before))
		return
	}

	if !t.sequence.follows(p.SequenceNumber) {
		t.missed(1)
	}
	t.deliver(next)
}

func (t *track) noteArrival(now time.Time) {
	before := t.last.Swap(now.UnixNano())
	if gap := now.UnixNano() - before; before != 0 && gap > t.longest.Load() {
		t.longest.Store(gap)
	}
}

// silence returns how long no packet has arrived, counted from since if none ever has, and the longest time between two
// packets so far.
func (t *track) silence(since, now time.Time) (silent, longest time.Duration) {
	if last := t.last.Load(); last != 0 {
		since = time.Unix(0, last)
	}
	return now.Sub(since), time.Duration(t.longest.Load())
}

// missed notes that packets are missing before the next one.
func (t *track) missed(packets int) {
	t.counters.lost.Add(int64(packets))
	t.assembler.lost()
}

// deliver passes the next packet, in order, to the assembler.
func (t *track) deliver(p packet) {
	if len(p.payload) == 0 {
		return // padding only: a probe, or a keepalive
	}
	before := t.assembler.dropped
	err := t.assembler.addPacket(p.payload, p.timestamp, p.marker)
	switch {
	case errors.Is(err, ErrTooLarge):
		t.err = err
	case err != nil:
		t.counters.damaged.Add(1)
	}
	t.counters.dropped.Add(int64(t.assembler.dropped - before))
}

func (t *track) emit(unit []byte, timestamp uint32, captured clock.Moment, gap bool) {
	t.counters.units.Add(1)
	if t.begun.IsZero() {
		t.begun = captured
	}
	t.sink(Unit{Data: unit, PTS: t.timeline.at(timestamp, captured.Sub(t.begun)), Captured: captured, Gap: gap})
}

// deadline returns when expire must be called if no packet arrives before. ok is false if nothing waits.
func (t *track) deadline() (at time.Time, ok bool) {
	if wait, ok := t.assembler.quiet(); ok {
		at = time.Unix(0, t.last.Load()).Add(wait)
	}
	if held, ok := t.jitter.deadline(); ok && (at.IsZero() || held.Before(at)) {
		at = held
	}
	return at, !at.IsZero()
}

// expire passes on what has waited for long enough.
func (t *track) expire(now time.Time) {
	t.jitter.expire(now)
	if wait, ok := t.assembler.quiet(); ok && now.UnixNano()-t.last.Load() >= int64(wait) {
		t.assembler.expire()
	}
}

// sendParameterSets passes on the parameter sets of the session description.
func (t *track) sendParameterSets() {
	var unit []byte
	for _, set := range t.sets {
		unit = append(append(unit, startCode...), set...)
	}
	if len(unit) > 0 {
		t.sink(Unit{Data: unit, Captured: t.assembler.clock.Now()})
	}
}
