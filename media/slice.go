package media

// sliceHeader holds the fields at the start of a slice header (H.264, 7.3.3) that tell pictures apart.
type sliceHeader struct {
	nalType  int
	refIDC   uint8
	firstMB  uint32
	kind     uint32 // slice_type modulo 5: 0 P, 1 B, 2 I, 3 SP, 4 SI
	pps      uint32
	known    bool // the fields below could be read, since the sequence parameter set is known
	frameNum uint32
	field    uint32 // 0 frame, 2 top field, 3 bottom field
	idrID    uint32
	pocLSB   uint32
}

const (
	sliceB = 1
	sliceI = 2
)

// framePOC is the difference between the picture order counts of consecutive frames, which have two fields each.
const framePOC = 2

// parseSlice reads the header of a slice or of data partition A. sps may be nil. ok is false if the header is
// truncated.
func parseSlice(nal []byte, sps *SPS) (h sliceHeader, ok bool) {
	h = sliceHeader{nalType: nalType(nal), refIDC: nal[0] >> 5 & 3}
	b := &bits{data: unescape(nal[1:], 40)} // the longest header up to pic_order_cnt_lsb has 24 bytes
	h.firstMB, h.kind, h.pps = b.ue(), b.ue(), b.ue()
	if b.short || h.kind > 9 || h.pps > 255 {
		return h, false
	}

	h.kind %= 5
	if sps == nil {
		return h, true
	}
	if sps.separatePlanes {
		b.u(2)
	}

	h.frameNum = b.u(sps.frameNumBits)
	if !sps.frameMBsOnly && b.flag() {
		h.field = 2 | b.bit()
	}
	if h.nalType == nalIDR {
		h.idrID = b.ue()
	}

	if sps.pocType == 0 {
		h.pocLSB = b.u(sps.pocLSBBits)
	}
	h.known = !b.short
	return h, true
}

// startsPicture reports whether h, which follows the slice prev, is the first slice of a primary coded picture (H.264,
// 7.4.1.2.4). A slice at macroblock 0 always starts one, so that streams whose parameter sets were lost are split as
// well. Pictures with equal headers and arbitrary slice order are not told apart.
func (h sliceHeader) startsPicture(prev sliceHeader) bool {
	if h.firstMB == 0 || h.pps != prev.pps || (h.refIDC == 0) != (prev.refIDC == 0) ||
		(h.nalType == nalIDR) != (prev.nalType == nalIDR) {
		return true
	}
	return h.known && prev.known && (h.frameNum != prev.frameNum || h.field != prev.field ||
		h.idrID != prev.idrID || h.pocLSB != prev.pocLSB)
}
