package rtsp

// NAL unit types of H.264 (ITU-T H.264, table 7-1) and of RFC 6184, section 5.2.
const (
	h264Slice   = 1
	h264IDR     = 5
	h264SEI     = 6
	h264AUD     = 9
	h264Prefix  = 14
	h264LeadEnd = 18
	h264STAPA   = 24
	h264STAPB   = 25
	h264FUA     = 28
	h264FUB     = 29

	fuStart = 0x80
	fuEnd   = 0x40
)

// h264 implements RFC 6184. It ignores decoding order numbers (STAP-B, FU-B), since cameras send in decoding order.
type h264 struct{}

func (h264) kind(nal []byte) nalKind {
	t := nal[0] & 0x1f
	return nalKind{
		picture:   t >= h264Slice && t <= h264IDR,
		first:     len(nal) > 1 && nal[1]&0x80 != 0, // first_mb_in_slice is 0
		leads:     t >= h264SEI && t <= h264AUD || t > h264Prefix && t <= h264LeadEnd,
		reference: nal[0]&0x60 != 0,
	}
}

func (h h264) unpack(payload []byte, a *assembler) error {
	payload = trimStartCode(payload)
	if len(payload) == 0 {
		return nil
	}
	switch t := payload[0] & 0x1f; t {
	case h264STAPA:
		return aggregated(payload[1:], 0, a)
	case h264STAPB:
		if len(payload) < 3 {
			return ErrMalformed
		}
		return aggregated(payload[3:], 0, a)
	case h264FUA, h264FUB:
		return h.fragment(payload, t == h264FUB, a)
	case 0, 26, 27, 30, 31: // MTAP: no camera interleaves pictures
		return ErrMalformed
	}

	a.addNAL(payload)
	return nil
}

// fragment reads RFC 6184, section 5.8. Only the first FU-B of a NAL unit has a decoding order number; the others are
// FU-A.
func (h264) fragment(payload []byte, numbered bool, a *assembler) error {
	if len(payload) < 2 {
		return ErrMalformed
	}
	indicator, fu, body := payload[0], payload[1], payload[2:]
	if numbered {
		if len(body) < 2 {
			return ErrMalformed
		}
		body = body[2:]
	}

	a.addFragment([]byte{indicator&0xe0 | fu&0x1f}, body, fu&fuStart != 0, fu&fuEnd != 0)
	return nil
}
