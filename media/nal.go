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

// nalType returns the type of a NAL unit without its start code, 0 if it is empty.
func nalType(nal []byte) int {
	if len(nal) == 0 {
		return 0
	}
	return int(nal[0] & 0x1f)
}

func isVCL(t int) bool { return t >= nalSlice && t <= nalIDR }

// nalUnits iterates over the NAL units of an Annex B byte stream (H.264 annex B.1): the offset of the start
// code, its zero_byte included, and the NAL unit without start code and without trailing zero bytes.
func nalUnits(stream []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		at, body := nextStartCode(stream, 0)
		for at >= 0 {
			next, nextBody := nextStartCode(stream, body)
			end := next
			if next < 0 {
				end = len(stream)
			}
			if nal := bytes.TrimRight(stream[body:end], "\x00"); len(nal) > 0 && !yield(at, nal) {
				return
			}
			at, body = next, nextBody
		}
	}
}

// nextStartCode finds the first start code at or after from: where it begins, its zero_byte included,
// and where the NAL unit after it begins; -1 if there is none.
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

// unescape removes the emulation prevention bytes of a NAL unit (H.264, 7.3.1), reading at most limit bytes of it.
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

// escape appends rbsp to dst with emulation prevention bytes (H.264, 7.4.1), so that it holds no start code.
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
