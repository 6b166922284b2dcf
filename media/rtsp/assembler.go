package rtsp

import (
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// The bounds of an assembler's buffer, which otherwise has the size that the previous access unit needed.
const (
	minBuffer = 16 << 10
	maxBuffer = 512 << 10
)

// Unit is one access unit.
type Unit struct {
	// Data is an Annex B byte stream with start codes of four bytes, which the receiver may keep. A unit without a
	// picture contains the parameter sets of the session description.
	Data     []byte
	PTS      time.Duration // starts at 0, never decreases, and follows the camera's clock as far as that is plausible
	Captured clock.Moment  // when its first packet arrived
	Gap      bool          // something that pictures may refer to is missing before it
}

// How long an access unit without a marker waits for more packets while nothing arrives.
const (
	quietFirst  = 500 * time.Millisecond // while it is unknown whether the camera sets markers
	quietKnown  = 150 * time.Millisecond // once the camera is known not to
	quietProven = 3                      // access units without a marker that prove that
)

// assembler joins NAL units into access units: all that arrive with one RTP timestamp, up to a marker. Since cameras
// get both wrong, the first slice of another picture always begins a new access unit.
type assembler struct {
	format format
	limit  int
	clock  *clock.Clock
	emit   func(unit []byte, timestamp uint32, captured clock.Moment, gap bool)

	data      []byte
	size      int // of the previous access unit
	timestamp uint32
	captured  clock.Moment // when its first packet arrived
	inNAL     bool         // a NAL unit has begun and not ended
	picture   bool         // data contains a slice
	reference bool         // other pictures may refer to one of the slices
	torn      bool         // packets of this access unit are missing, or it is too large

	marked   bool // a marker has ended an access unit: the camera sets them
	split    bool // the camera sets the marker within pictures: do not trust it
	ended    bool // a marker ended the previous access unit, which had the same timestamp
	unmarked int  // access units without a marker

	missing   bool // packets are missing before the current one
	uncertain bool // packets are missing, of this access unit or of earlier ones
	gap       bool // see Unit
	dropped   int  // access units
	oversize  bool // one was dropped for its size
}

func newAssembler(f format, limit int, c *clock.Clock, emit func([]byte, uint32, clock.Moment, bool)) *assembler {
	return &assembler{
		format:  f,
		limit:   limit,
		clock:   c,
		emit:    emit,
		missing: true,
	}
}

// addPacket adds the payload of the next packet, in order. Its error is ErrMalformed or ErrTooLarge.
func (a *assembler) addPacket(payload []byte, timestamp uint32, marker bool) error {
	inside := a.picture && timestamp == a.timestamp
	if timestamp != a.timestamp {
		if a.picture {
			a.unmarked++
			a.flush()
		}
		a.timestamp, a.ended = timestamp, false
	}

	if a.missing {
		a.missing, a.uncertain = false, a.uncertain || !inside
	}
	if len(a.data) == 0 {
		a.captured = a.clock.Now()
	}

	err := a.format.unpack(payload, a)
	if err != nil {
		a.lost()
	}
	if marker && a.picture && !a.inNAL && !a.split {
		a.marked, a.ended, a.unmarked = true, true, 0
		a.flush()
	}

	if a.oversize {
		err = ErrTooLarge
	}
	return err
}

// lost notes that packets are missing before the next one.
func (a *assembler) lost() {
	a.torn = a.torn || a.picture || a.inNAL
	a.inNAL, a.missing = false, true
}

// addNAL adds a complete NAL unit.
func (a *assembler) addNAL(nal []byte) {
	a.beginNAL(nal)
	a.append(nal)
	a.inNAL = false
}

// addFragment adds a part of a NAL unit. header is the header of the NAL unit, which the fragment does not contain.
func (a *assembler) addFragment(header, body []byte, start, end bool) {
	if start {
		var peek [3]byte
		a.beginNAL(append(append(peek[:0], header...), body[:min(len(body), 1)]...))
		a.append(header)
	} else if !a.inNAL {
		a.noteOrphan(header)
	}

	a.append(body)
	a.inNAL = !end
}

// noteOrphan notes a fragment whose beginning is missing.
func (a *assembler) noteOrphan(header []byte) {
	if k := a.format.kind(header); k.picture {
		a.picture, a.reference = true, a.reference || k.reference
	}
	a.torn = true
}

// beginNAL appends a start code for a NAL unit. If the NAL unit begins another access unit, it ends the current one.
func (a *assembler) beginNAL(nal []byte) {
	k := a.format.kind(nal)
	if a.picture && (k.leads || k.picture && k.first) {
		a.flush()
		a.captured = a.clock.Now()
	}

	if k.picture && !k.first && !a.picture {
		a.torn = a.torn || a.uncertain // its first slice is missing
		a.split = a.split || a.ended && !a.uncertain
	}
	if k.picture {
		a.picture, a.reference = true, a.reference || k.reference
	}
	a.append(startCode)
}

func (a *assembler) append(b []byte) {
	if len(a.data)+len(b) > a.limit {
		a.torn, a.oversize = true, true
		a.data = a.data[:0]
		return
	}

	if a.data == nil {
		a.data = make([]byte, 0, min(max(a.size+a.size/8, minBuffer), maxBuffer))
	}
	a.data = append(a.data, b...)
}

// quiet returns how long the access unit waits for a marker while nothing arrives. ok is false if it is incomplete, or
// if its marker will come.
func (a *assembler) quiet() (wait time.Duration, ok bool) {
	switch {
	case !a.picture || a.inNAL || a.torn || a.marked && !a.split:
		return 0, false
	case a.unmarked >= quietProven:
		return quietKnown, true
	}
	return quietFirst, true
}

// expire ends an access unit that has waited for long enough.
func (a *assembler) expire() {
	a.ended = true
	a.flush()
}

// flush ends the access unit.
func (a *assembler) flush() {
	if a.torn {
		a.dropped++
		a.gap = a.gap || a.uncertain || a.reference
	} else {
		a.emit(a.detach(), a.timestamp, a.captured, a.gap || a.uncertain)
		a.gap = false
	}

	if cap(a.data) > maxBuffer {
		a.data = nil
	}
	a.data = a.data[:0]
	a.inNAL, a.picture, a.reference, a.torn, a.uncertain = false, false, false, false, false
}

// detach returns the access unit in its own memory: the buffer itself if that is nearly full, otherwise a copy.
func (a *assembler) detach() []byte {
	if a.size = len(a.data); a.size >= cap(a.data)/4*3 {
		unit := a.data[:a.size:a.size]
		a.data = nil
		return unit
	}
	return append(make([]byte, 0, a.size), a.data...)
}
