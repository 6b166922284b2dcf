package media

// sliceHeader is the beginning of a slice header (H.264, 7.3.3), as far as it tells pictures apart.
type sliceHeader struct {
	nalType  int
	refIDC   uint8
	firstMB  uint32
	kind     uint32 // slice_type modulo 5: 0 P, 1 B, 2 I, 3 SP, 4 SI
	pps      uint32
	known    bool // the fields below are known, since the sequence parameter set is
	frameNum uint32
	field    uint32 // 0 frame, 2 top field, 3 bottom field
	idrID    uint32
	pocLSB   uint32
}

const sliceB = 1

// parseSlice reads the header of a slice or of data partition A; sps may be nil. ok is false if the NAL unit is torn.
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

// startsPicture reports whether h is the first slice of a primary coded picture when prev was the slice before it
// (H.264, 7.4.1.2.4). A slice at macroblock 0 begins one even where nothing else differs, so streams
// with lost parameter sets are split too; arbitrary slice order together with equal headers is not told apart.
func (h sliceHeader) startsPicture(prev sliceHeader) bool {
	if h.firstMB == 0 || h.pps != prev.pps || (h.refIDC == 0) != (prev.refIDC == 0) ||
		(h.nalType == nalIDR) != (prev.nalType == nalIDR) {
		return true
	}
	return h.known && prev.known && (h.frameNum != prev.frameNum || h.field != prev.field ||
		h.idrID != prev.idrID || h.pocLSB != prev.pocLSB)
}
