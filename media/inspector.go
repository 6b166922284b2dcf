package media

import "errors"

// ErrBFrames is returned for a stream whose pictures are shown in another order than they are sent in. No live viewer
// can play that without delay, and WebRTC in browsers cannot play it at all.
var ErrBFrames = errors.New("the stream has B-frames: set the camera's encoder to no B-frames " +
	"(often called \"Baseline profile\", \"low latency\" or \"GOP: IP\"), or start with -transcode")

// Inspector looks through a stream's access units for keyframes, where decoding can start, and for B-frames, which live
// viewers cannot play. The zero value is ready to use.
type Inspector struct {
	sps      *SPS
	idr      bool // the stream has IDR pictures
	pictures int  // since the last keyframe
	pocLSB   uint32
	havePOC  bool
	back     int  // pictures of this coded video sequence that are shown before one sent earlier
	doubtful bool // see Doubtful
}

// SPS returns the newest sequence parameter set, or nil if there has been none.
func (i *Inspector) SPS() *SPS { return i.sps }

// CanReorder reports whether the stream may turn out to have B-frames. It is true until a sequence parameter set rules
// them out (see [SPS.CanReorder]).
func (i *Inspector) CanReorder() bool { return i.sps == nil || i.sps.CanReorder() }

// Doubtful reports whether the second picture after the last keyframe leaves room for others between the two, so that
// the stream is likely to have B-frames. ok is false until that second picture.
func (i *Inspector) Doubtful() (doubtful, ok bool) { return i.doubtful, i.pictures > 1 }

// Inspect looks at the next access unit. picture reports whether it contains a picture. key reports whether decoding
// can start there: at an IDR picture, at a recovery point that is correct at once, and at any recovery point of a
// stream that has had no IDR picture (gradual intra refresh).
//
// The error is ErrBFrames for a B slice (slice_type 1 or 6), or if the picture order count decreases twice between two
// IDR pictures. Once is no proof: it may be memory_management_control_operation 5, or a lost picture.
func (i *Inspector) Inspect(unit []byte) (picture, key bool, err error) {
	return i.inspect(parseUnit(unit))
}

func (i *Inspector) inspect(unit parsedUnit) (picture, key bool, err error) {
	var recovery uint32
	recovers, intra := false, true
	for _, nal := range unit.nalUnits() {
		switch t := nalType(nal); t {
		case nalSPS:
			if sps, err := ParseSPS(nal); err == nil {
				i.sps = &sps
			}
		case nalSEI:
			if !picture && !recovers {
				recovery, recovers = recoveryPoint(nal)
			}
		case nalSlice, nalPartitionA, nalIDR:
			h, ok := parseSlice(nal, i.sps)
			first := !picture
			picture, key = true, key || t == nalIDR
			intra = intra && ok && h.kind == sliceI
			if ok && (h.kind == sliceB || first && i.reordered(h)) {
				return picture, key, ErrBFrames
			}
		}
	}

	i.idr = i.idr || key
	key = key || picture && recovers && (recovery == 0 && intra || !i.idr)
	switch {
	case key:
		i.pictures, i.doubtful = 1, false
	case picture:
		i.pictures++
	}

	return picture, key, nil
}

// reordered compares pic_order_cnt_lsb with that of the previous picture (H.264, 8.2.1.1), and reports whether pictures
// are out of order.
func (i *Inspector) reordered(h sliceHeader) bool {
	if !h.known || !i.sps.CanReorder() || i.sps.pocType != 0 {
		return false
	}
	if h.nalType == nalIDR {
		i.back = 0
	} else if i.havePOC {
		size := uint32(1) << i.sps.pocLSBBits
		step := (h.pocLSB - i.pocLSB) & (size - 1)
		if step > size/2 {
			i.back++
		}
		i.doubtful = i.doubtful || i.pictures == 1 && step > framePOC
	}

	i.pocLSB, i.havePOC = h.pocLSB, true
	return i.back >= 2
}
