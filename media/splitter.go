package media

import (
	"errors"
	"fmt"
	"io"
)

// MaxAccessUnit is the size of the largest access unit accepted, in bytes. An IDR picture of 4K video has about 1 MB.
const MaxAccessUnit = 8 << 20

var (
	// ErrNotAnnexB is returned for a byte stream that does not begin with a start code.
	ErrNotAnnexB = errors.New("not an H.264 byte stream (Annex B): it does not begin with a start code")
	// ErrTooLarge is returned for an access unit or a frame that exceeds MaxAccessUnit.
	ErrTooLarge = fmt.Errorf("larger than %d bytes", MaxAccessUnit)
)

// splitter cuts an H.264 byte stream (Annex B) into access units by the rules of H.264, 7.4.1.2.3. It normalises
// nothing: its access units joined together are the input, byte for byte.
//
// An access unit ends where the next one begins, so it is returned one NAL unit late. Live sources use framed input
// instead.
type splitter struct {
	r       io.Reader
	err     error  // the last error of r
	buf     []byte // the stream from the beginning of the current access unit
	end     int    // the end of the NAL units that rules has seen; the next start code is at buf[end:]
	scanned int    // no start code other than the one at end begins before this offset
	rules   boundary

	nals    []nalUnit // those that rules has seen: of the current access unit, and maybe the first of the next
	tooMany bool      // nals is no longer kept
}

// newSplitter returns a splitter that reads r.
func newSplitter(r io.Reader) *splitter { return &splitter{r: r} }

// Split cuts a whole byte stream into access units, which share its memory.
func Split(stream []byte) (units [][]byte, err error) {
	s := &splitter{buf: stream[:len(stream):len(stream)], err: io.EOF}
	for {
		unit, err := s.next()
		if err == io.EOF {
			return units, nil
		}
		if err != nil {
			return nil, err
		}
		units = append(units, unit.data)
	}
}

// next returns the next access unit, which the caller may keep. It returns io.EOF at the end of the stream, and before
// that ErrNotAnnexB, ErrTooLarge, or the reader's error; the unfinished access unit is then lost.
func (s *splitter) next() (parsedUnit, error) {
	for {
		end, err := s.findNAL()
		if err != nil {
			return parsedUnit{}, err
		}
		if end < 0 { // the stream has ended, and rules has seen all of it
			if len(s.buf) == 0 {
				return parsedUnit{}, io.EOF
			}
			return s.cut(len(s.buf)), nil
		}

		offset := s.end
		at, body := nextStartCode(s.buf, offset)
		s.keep(trimNAL(s.buf, at, body, end))
		s.end = end
		if cut := s.rules.look(offset, s.buf[body:end]); cut > 0 {
			return s.cut(cut), nil
		}
	}
}

// keep remembers a NAL unit. Once an access unit has had more than maxKeptNALs, it remembers no more.
func (s *splitter) keep(n nalUnit) {
	switch {
	case len(s.nals) == maxKeptNALs:
		s.nals, s.tooMany = nil, true
	case !s.tooMany && n.end > n.begin:
		s.nals = append(s.nals, n)
	}
}

// cut removes the first n bytes and their NAL units from the buffer, and returns them.
func (s *splitter) cut(n int) parsedUnit {
	data := s.buf[:n:n]
	s.buf = s.buf[n:]
	s.end, s.scanned = s.end-n, s.scanned-n
	if s.tooMany {
		return parsedUnit{data: data}
	}

	count := 0
	for count < len(s.nals) && s.nals[count].at < n {
		count++
	}
	unit := parsedUnit{data: data, nals: s.nals[:count:count]}
	next := make([]nalUnit, 0, max(count+1, 8))
	for _, later := range s.nals[count:] {
		next = append(next, nalUnit{at: later.at - n, begin: later.begin - n, end: later.end - n})
	}
	s.nals = next
	return unit
}

// findNAL returns where the NAL unit at buf[end:] ends, reading more as needed; -1 if there are no more NAL units.
func (s *splitter) findNAL() (int, error) {
	for {
		if at, body := nextStartCode(s.buf, s.end); at >= 0 {
			if s.end == 0 && !allZero(s.buf[:at]) {
				return 0, ErrNotAnnexB
			}
			if next, _ := nextStartCode(s.buf, max(body, s.scanned)); next >= 0 {
				return next, nil
			}
			if s.err == io.EOF {
				return len(s.buf), nil
			}

			// The next start code may have been read only in part: 00 00 | 01.
			s.scanned = max(body, len(s.buf)-3)
		} else if s.err == io.EOF {
			if s.end == 0 && len(s.buf) > 0 {
				return 0, ErrNotAnnexB
			}
			return -1, nil
		}

		if s.err != nil {
			return 0, fmt.Errorf("read stream: %w", s.err)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

func (s *splitter) fill() error {
	const chunk = 64 << 10
	if len(s.buf) > MaxAccessUnit {
		return fmt.Errorf("split access unit: %w", ErrTooLarge)
	}
	if s.end == 0 && len(s.buf) >= chunk && !hasStartCode(s.buf) {
		return ErrNotAnnexB
	}

	if cap(s.buf)-len(s.buf) < chunk { // never in place: the access units returned so far lie in the old array
		s.buf = append(make([]byte, 0, 2*len(s.buf)+2*chunk), s.buf...)
	}
	n, err := s.r.Read(s.buf[len(s.buf) : len(s.buf)+chunk])
	s.buf, s.err = s.buf[:len(s.buf)+n], err
	return nil
}

func hasStartCode(b []byte) bool {
	at, _ := nextStartCode(b, 0)
	return at >= 0
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// boundary finds where access units begin (H.264, 7.4.1.2.3).
type boundary struct {
	active  *SPS // the last one received; cameras have only one
	prev    sliceHeader
	picture bool // the current access unit has a slice of its primary coded picture
	prefix  int  // offset of a prefix NAL unit that may begin an access unit; 0 if there is none
}

// look must see every NAL unit, with its offset in the current access unit. It returns the offset at which the access
// unit ends, or 0 if it continues.
func (b *boundary) look(at int, nal []byte) (cut int) {
	t := nalType(nal)
	switch {
	case t == nalSlice, t == nalPartitionA, t == nalIDR:
		h, ok := parseSlice(nal, b.active)
		if !ok {
			return 0 // a truncated slice stays in the access unit before it
		}
		if b.picture && h.startsPicture(b.prev) {
			cut = at
			if b.prefix > 0 {
				cut = b.prefix
			}
		}
		b.prev, b.picture, b.prefix = h, true, 0
	case t == nalPrefix: // it precedes every slice of a picture (SVC, MVC), and that slice decides
		if b.picture && b.prefix == 0 {
			b.prefix = at
		}
	case t >= nalSEI && t <= nalAUD, t > nalPrefix && t <= nalReservedHi:
		if b.picture {
			cut, b.picture, b.prefix = at, false, 0
		}
		if t == nalSPS {
			if sps, err := ParseSPS(nal); err == nil {
				b.active = &sps
			}
		}
	}

	return cut
}
