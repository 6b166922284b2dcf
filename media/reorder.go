package media

import "errors"

// ErrBFrames says that a stream's pictures are shown in another order than they are sent in, which no live viewer can
// play without delay, and no browser's WebRTC at all.
var ErrBFrames = errors.New("the stream has B-frames: set the camera's encoder to no B-frames " +
	"(often called \"Baseline profile\", \"low latency\" or \"GOP: IP\"), or start with -transcode")

// Inspector watches a stream's access units for what live viewers cannot play. The zero value is ready.
type Inspector struct {
	sps     *SPS
	pocLSB  uint32
	havePOC bool
	back    int // pictures shown before one that was sent earlier, in this coded video sequence
}

// SPS returns the newest sequence parameter set, nil if none was seen.
func (i *Inspector) SPS() *SPS { return i.sps }

// CanReorder reports whether the stream may yet turn out to have B-frames: true until a sequence parameter
// set rules it out (see [SPS.CanReorder]).
func (i *Inspector) CanReorder() bool { return i.sps == nil || i.sps.CanReorder() }

// Inspect looks at the next access unit. picture and key tell whether it holds a picture and whether that is an
// IDR picture. The error is ErrBFrames for a B slice (slice_type 1 or 6), or where picture order count falls
// twice between two IDR pictures: once may be memory_management_control_operation 5, or a lost picture.
func (i *Inspector) Inspect(unit []byte) (picture, key bool, err error) {
	for _, nal := range nalUnits(unit) {
		t := nalType(nal)
		if t == nalSPS {
			if sps, err := ParseSPS(nal); err == nil {
				i.sps = &sps
			}
			continue
		}
		if t != nalSlice && t != nalPartitionA && t != nalIDR {
			continue
		}
		h, ok := parseSlice(nal, i.sps)
		first := !picture
		picture, key = true, key || t == nalIDR
		if !ok {
			continue
		}
		if h.kind == sliceB {
			return picture, key, ErrBFrames
		}
		if first && i.reordered(h) {
			return picture, key, ErrBFrames
		}
	}
	return picture, key, nil
}

// reordered compares pic_order_cnt_lsb with that of the picture before (H.264, 8.2.1.1).
func (i *Inspector) reordered(h sliceHeader) bool {
	if !h.known || !i.sps.CanReorder() || i.sps.pocType != 0 {
		return false
	}
	if h.nalType == nalIDR {
		i.back = 0
	} else if i.havePOC {
		size := uint32(1) << i.sps.pocLSBBits
		if step := (h.pocLSB - i.pocLSB) & (size - 1); step > size/2 {
			i.back++
		}
	}
	i.pocLSB, i.havePOC = h.pocLSB, true
	return i.back >= 2
}
