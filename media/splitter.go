package media

import (
	"errors"
	"fmt"
	"io"
)

// MaxAccessUnit is the largest access unit that is accepted, in bytes. An IDR picture of 4K video has about 1 MB.
const MaxAccessUnit = 8 << 20

var (
	// ErrNotAnnexB says that a byte stream does not begin with a start code.
	ErrNotAnnexB = errors.New("not an H.264 byte stream (Annex B): it does not begin with a start code")
	// ErrTooLarge says that an access unit or a frame exceeds MaxAccessUnit.
	ErrTooLarge = fmt.Errorf("larger than %d bytes", MaxAccessUnit)
)

// Splitter cuts an H.264 byte stream (annex B) into access units by the rules of H.264, 7.4.1.2.3. It
// normalises nothing: what it returns, put together again, is the input, byte for byte.
//
// An access unit ends where the next begins, so it is returned one NAL unit late. Live sources
// use framed input instead.
type Splitter struct {
	r       io.Reader
	err     error  // what r returned last
	buf     []byte // from the beginning of the current access unit on
	end     int    // where the NAL units that were looked at end; the next start code is at buf[end:]
	scanned int    // no start code other than the one at end begins before this offset
	rules   boundary
}

// NewSplitter returns a Splitter that reads r.
func NewSplitter(r io.Reader) *Splitter { return &Splitter{r: r} }

// Split cuts a whole byte stream into access units, which share its memory.
func Split(stream []byte) (units [][]byte, err error) {
	s := &Splitter{buf: stream[:len(stream):len(stream)], err: io.EOF}
	for {
		unit, err := s.Next()
		if err == io.EOF {
			return units, nil
		}
		if err != nil {
			return nil, err
		}
		units = append(units, unit)
	}
}

// Next returns the next access unit, which the caller may keep. At the end of the stream it returns io.EOF,
// before it ErrNotAnnexB, ErrTooLarge, or what the reader returned; the unfinished access unit is then lost.
func (s *Splitter) Next() ([]byte, error) {
	for {
		next, err := s.findNAL()
		if err != nil {
			return nil, err
		}
		if next < 0 { // the stream has ended and everything was looked at
			if len(s.buf) == 0 {
				return nil, io.EOF
			}
			return s.cut(len(s.buf)), nil
		}
		at := s.end
		_, body := nextStartCode(s.buf, at)
		s.end = next
		if cut := s.rules.look(at, s.buf[body:next]); cut > 0 {
			return s.cut(cut), nil
		}
	}
}

// cut takes the first n bytes off the buffer.
func (s *Splitter) cut(n int) []byte {
	unit := s.buf[:n:n]
	s.buf = s.buf[n:]
	s.end, s.scanned = s.end-n, s.scanned-n
	return unit
}

// findNAL returns where the NAL unit at buf[end:] ends, reading more as needed; -1 if there is none any more.
func (s *Splitter) findNAL() (int, error) {
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
			// A start code may be torn by the end of what was read: 00 00 | 01.
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

func (s *Splitter) fill() error {
	const chunk = 64 << 10
	if len(s.buf) > MaxAccessUnit {
		return fmt.Errorf("split access unit: %w", ErrTooLarge)
	}
	if s.end == 0 && len(s.buf) >= chunk && !hasStartCode(s.buf) {
		return ErrNotAnnexB
	}
	if cap(s.buf)-len(s.buf) < chunk { // never in place: units that were returned lie in the old array
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

// boundary decides where access units begin (H.264, 7.4.1.2.3).
type boundary struct {
	active  *SPS // the last set received; cameras have one
	prev    sliceHeader
	picture bool // the current access unit has a slice of its primary coded picture
	prefix  int  // offset of a prefix NAL unit that may begin an access unit, 0 if none
}

// look is shown every NAL unit and its offset in the current access unit, and returns the offset at which the access
// unit ends, 0 if it goes on.
func (b *boundary) look(at int, nal []byte) (cut int) {
	t := nalType(nal)
	switch {
	case t == nalSlice, t == nalPartitionA, t == nalIDR:
		h, ok := parseSlice(nal, b.active)
		if !ok {
			return 0 // a torn slice stays with what came before it
		}
		if b.picture && h.startsPicture(b.prev) {
			cut = at
			if b.prefix > 0 {
				cut = b.prefix
			}
		}
		b.prev, b.picture, b.prefix = h, true, 0
	case t == nalPrefix: // stands before every slice of a picture (SVC, MVC): the slice decides
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
