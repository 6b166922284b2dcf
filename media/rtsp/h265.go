package rtsp

// NAL unit types of H.265 (ITU-T H.265, table 7-1) and of RFC 7798, section 4.4.
const (
	h265FirstIRAP = 16
	h265VCLEnd    = 31
	h265VPS       = 32
	h265AUD       = 35
	h265PrefixSEI = 39
	h265Aggregate = 48
	h265Fragment  = 49
	h265FUType    = 0x3f
)

// h265 implements RFC 7798. It ignores decoding order numbers, as h264 does.
type h265 struct{ don bool }

func (h265) kind(nal []byte) nalKind {
	t := nal[0] >> 1 & 0x3f
	return nalKind{
		picture:   t <= h265VCLEnd,
		first:     len(nal) > 2 && nal[2]&0x80 != 0, // first_slice_segment_in_pic_flag
		leads:     t >= h265VPS && t <= h265AUD || t == h265PrefixSEI || t >= 41 && t <= 44 || t >= 48 && t <= 55,
		reference: t >= h265FirstIRAP || t&1 == 1, // sub-layer non-reference pictures are even
	}
}

func (h h265) unpack(payload []byte, a *assembler) error {
	payload = trimStartCode(payload)
	if len(payload) < 2 {
		return ErrMalformed
	}
	switch t := payload[0] >> 1 & 0x3f; {
	case t == h265Aggregate:
		return h.aggregate(payload[2:], a)
	case t == h265Fragment:
		return h.fragment(payload, a)
	case t > h265Fragment: // PACI and reserved types
		return ErrMalformed
	}

	if h.don {
		if len(payload) < 5 {
			return ErrMalformed
		}
		payload = append(payload[:2:2], payload[4:]...)
	}

	a.addNAL(payload)
	return nil
}

// aggregate reads RFC 7798, section 4.4.2: with decoding order numbers, a DONL of two bytes precedes the first unit and
// a DOND of one byte each other unit.
func (h h265) aggregate(body []byte, a *assembler) error {
	if !h.don {
		return aggregated(body, 0, a)
	}
	if len(body) < 3 {
		return ErrMalformed
	}
	return aggregated(body[1:], 1, a)
}

// fragment reads RFC 7798, section 4.4.3. With decoding order numbers, the first fragment contains one.
func (h h265) fragment(payload []byte, a *assembler) error {
	if len(payload) < 3 {
		return ErrMalformed
	}
	fu, body := payload[2], payload[3:]
	start := fu&fuStart != 0
	if h.don && start {
		if len(body) < 2 {
			return ErrMalformed
		}
		body = body[2:]
	}

	header := []byte{payload[0]&0x81 | fu&h265FUType<<1, payload[1]}
	a.addFragment(header, body, start, fu&fuEnd != 0)
	return nil
}
