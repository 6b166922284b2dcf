package media

import (
	"bytes"
	"iter"
)

// NAL unit types (ITU-T H.264, table 7-1).
const (
	nalSlice      = 1
	nalPartitionA = 2
	nalPartitionC = 4
	nalIDR        = 5
	nalSEI        = 6
	nalSPS        = 7
	nalPPS        = 8
	nalAUD        = 9
	nalPrefix     = 14
	nalReservedHi = 18
)

var startCode = []byte{0, 0, 0, 1}

// nalType returns the type of a NAL unit that has no start code; 0 if it is empty.
func nalType(nal []byte) int {
	if len(nal) == 0 {
		return 0
	}
	return int(nal[0] & 0x1f)
}

func isVCL(t int) bool { return t >= nalSlice && t <= nalIDR }

// nalUnit is the place of a NAL unit in an Annex B byte stream, as offsets.
type nalUnit struct {
	at         int // its start code, with the zero_byte
	begin, end int // the NAL unit, without start code and without trailing zero bytes
}

// nalUnits iterates over the non-empty NAL units of an Annex B byte stream (H.264, B.1): the place and the bytes of
// each.
func nalUnits(stream []byte) iter.Seq2[nalUnit, []byte] {
	return func(yield func(nalUnit, []byte) bool) { scanNALs(stream, yield) }
}

// scanNALs is a function of its own so that nalUnits can be inlined, and a loop over it allocates nothing.
func scanNALs(stream []byte, yield func(nalUnit, []byte) bool) {
	at, body := nextStartCode(stream, 0)
	for at >= 0 {
		next, nextBody := nextStartCode(stream, body)
		end := next
		if next < 0 {
			end = len(stream)
		}
		n := trimNAL(stream, at, body, end)
		if n.end > n.begin && !yield(n, stream[n.begin:n.end]) {
			return
		}
		at, body = next, nextBody
	}
}

// trimNAL returns the place of a NAL unit: its start code is at at, and it ends before the zero bytes that trail
// between body and end.
func trimNAL(stream []byte, at, body, end int) nalUnit {
	nal := bytes.TrimRight(stream[body:end], "\x00")
	return nalUnit{at: at, begin: body, end: body + len(nal)}
}

// nextStartCode finds the first start code at or after from. It returns where the start code begins, including its
// zero_byte, and where the NAL unit behind it begins; -1 if there is none.
func nextStartCode(stream []byte, from int) (at, body int) {
	i := bytes.Index(stream[from:], startCode[1:])
	if i < 0 {
		return -1, -1
	}
	at = from + i
	body = at + 3
	if at > from && stream[at-1] == 0 {
		at--
	}

	return at, body
}

// unescape returns the first limit bytes of a NAL unit without their emulation prevention bytes (H.264, 7.3.1).
func unescape(nal []byte, limit int) []byte {
	nal = nal[:min(len(nal), limit)]
	rbsp := make([]byte, 0, len(nal))
	zeros := 0
	for _, b := range nal {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		rbsp = append(rbsp, b)
	}

	return rbsp
}

// escape appends rbsp to dst, with emulation prevention bytes so that it contains no start code (H.264, 7.4.1).
func escape(dst, rbsp []byte) []byte {
	zeros := 0
	for _, b := range rbsp {
		if zeros >= 2 && b <= 3 {
			dst = append(dst, 3)
			zeros = 0
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		dst = append(dst, b)
	}

	return dst
}
