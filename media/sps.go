package media

import (
	"errors"
	"fmt"
)

// ErrSPS is returned for a sequence parameter set that cannot be read.
var ErrSPS = errors.New("the stream's sequence parameter set cannot be read")

// SPS holds the fields that this package needs from a sequence parameter set (H.264, 7.3.2.1.1 and E.1.1).
type SPS struct {
	Profile     uint8 // profile_idc: 66 Baseline, 77 Main, 100 High
	Constraints uint8 // the constraint_set flags; constraint_set0_flag is the highest bit
	Level       uint8 // ten times the level number
	Width       int   // pixels, after cropping
	Height      int
	FrameRate   float64 // frames per second according to the VUI; 0 if it has no timing

	// MaxReorder is max_num_reorder_frames; -1 if the stream does not give it.
	MaxReorder int

	id             uint32
	separatePlanes bool
	frameNumBits   int
	pocType        uint32
	pocLSBBits     int
	frameMBsOnly   bool
}

// ParseSPS reads a sequence parameter set, which is a NAL unit of type 7, without its start code. Its error wraps
// ErrSPS.
func ParseSPS(nal []byte) (SPS, error) {
	if nalType(nal) != nalSPS {
		return SPS{}, fmt.Errorf("parse SPS: type %d: %w", nalType(nal), ErrSPS)
	}
	b := &bits{data: unescape(nal[1:], 1024)}
	s := SPS{MaxReorder: -1}
	s.Profile, s.Constraints, s.Level = uint8(b.u(8)), uint8(b.u(8)), uint8(b.u(8))
	s.id = b.ue()
	chroma := uint32(1)
	if hasChromaFormat(s.Profile) {
		chroma = s.chromaFormat(b)
	}

	s.frameNumBits = int(b.ue()) + 4
	s.pictureOrder(b)
	b.ue()   // max_num_ref_frames
	b.flag() // gaps_in_frame_num_value_allowed_flag
	widthMBs, heightMaps := b.ue()+1, b.ue()+1
	s.frameMBsOnly = b.flag()
	if !s.frameMBsOnly {
		b.flag() // mb_adaptive_frame_field_flag
	}

	b.flag() // direct_8x8_inference_flag
	var crop [4]uint32
	if b.flag() {
		crop = [4]uint32{b.ue(), b.ue(), b.ue(), b.ue()} // left, right, top, bottom
	}

	vui := b.flag()
	if b.short || s.id > 31 || s.frameNumBits > 16 || s.pocLSBBits > 16 || s.pocType > 2 || chroma > 3 ||
		widthMBs > 1024 || heightMaps > 1024 {
		return SPS{}, fmt.Errorf("parse SPS: %w", ErrSPS)
	}
	if !s.size(int(widthMBs), int(heightMaps), chroma, crop) {
		return SPS{}, fmt.Errorf("parse SPS: cropped to nothing: %w", ErrSPS)
	}

	if vui {
		s.vui(b) // a torn VUI leaves the fields unknown: some cameras send one
	}
	return s, nil
}

func hasChromaFormat(profile uint8) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

func (s *SPS) chromaFormat(b *bits) (chroma uint32) {
	chroma = b.ue()
	if chroma == 3 {
		s.separatePlanes = b.flag()
	}
	b.ue()   // bit_depth_luma_minus8
	b.ue()   // bit_depth_chroma_minus8
	b.flag() // qpprime_y_zero_transform_bypass_flag
	if !b.flag() {
		return chroma
	}

	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !b.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}

		last, next := int32(8), int32(8) // scaling_list, 7.3.2.1.1.1
		for range size {
			if next != 0 {
				next = (last + b.se()) & 0xff
			}
			if next != 0 {
				last = next
			}
		}
	}

	return chroma
}

func (s *SPS) pictureOrder(b *bits) {
	switch s.pocType = b.ue(); s.pocType {
	case 0:
		s.pocLSBBits = int(b.ue()) + 4
	case 1:
		b.flag() // delta_pic_order_always_zero_flag
		b.se()   // offset_for_non_ref_pic
		b.se()   // offset_for_top_to_bottom_field
		for range min(b.ue(), 255) {
			b.se()
		}
	}
}

// size computes the cropped size (H.264, 7.4.2.1.1) and reports whether anything is left.
func (s *SPS) size(widthMBs, heightMaps int, chroma uint32, crop [4]uint32) bool {
	fields := 2
	if s.frameMBsOnly {
		fields = 1
	}
	unitX, unitY := 1, fields
	if !s.separatePlanes {
		if chroma == 1 || chroma == 2 {
			unitX = 2
		}
		if chroma == 1 {
			unitY = 2 * fields
		}
	}

	w, h := widthMBs*16, heightMaps*16*fields
	cropX, cropY := (uint64(crop[0])+uint64(crop[1]))*uint64(unitX), (uint64(crop[2])+uint64(crop[3]))*uint64(unitY)
	if cropX >= uint64(w) || cropY >= uint64(h) {
		return false
	}
	s.Width, s.Height = w-int(cropX), h-int(cropY)
	return true
}

// vui reads timing and reordering from the video usability information (H.264, E.1.1).
func (s *SPS) vui(b *bits) {
	if b.flag() && b.u(8) == 255 { // aspect_ratio_idc: Extended_SAR
		b.u(32)
	}
	if b.flag() { // overscan_info_present_flag
		b.flag()
	}

	if b.flag() { // video_signal_type_present_flag
		b.u(4)
		if b.flag() {
			b.u(24)
		}
	}

	if b.flag() { // chroma_loc_info_present_flag
		b.ue()
		b.ue()
	}
	if b.flag() { // timing_info_present_flag
		units, scale := b.u(32), b.u(32)
		b.flag() // fixed_frame_rate_flag
		if !b.short && units > 0 {
			s.FrameRate = float64(scale) / (2 * float64(units))
		}
	}

	nalHRD := b.flag()
	if nalHRD {
		hrd(b)
	}
	vclHRD := b.flag()
	if vclHRD {
		hrd(b)
	}

	if nalHRD || vclHRD {
		b.flag() // low_delay_hrd_flag
	}
	b.flag() // pic_struct_present_flag
	if !b.flag() {
		return
	}

	b.flag() // motion_vectors_over_pic_boundaries_flag
	for range 4 {
		b.ue() // max_bytes_per_pic_denom … log2_max_mv_length_vertical
	}
	if reorder := b.ue(); !b.short && reorder <= 16 {
		s.MaxReorder = int(reorder)
	}
}

// hrd skips hrd_parameters (H.264, E.1.2).
func hrd(b *bits) {
	count := min(b.ue(), 31) + 1
	b.u(8) // bit_rate_scale, cpb_size_scale
	for range count {
		b.ue()
		b.ue()
		b.flag()
	}
	b.u(20) // four lengths of five bits
}

// CanReorder reports whether pictures may be shown in another order than they are sent in. The Baseline profile has no
// B slices and cannot reorder, nor can pic_order_cnt_type 2 (H.264, 8.2.1.3) or a stream with a MaxReorder of 0.
func (s SPS) CanReorder() bool {
	return s.Profile != 66 && s.pocType != 2 && s.MaxReorder != 0
}
