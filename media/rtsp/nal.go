package rtsp

import "bytes"

var startCode = []byte{0, 0, 0, 1}

// trimStartCode removes a start code from the front of a NAL unit. Some cameras leave it there.
func trimStartCode(nal []byte) []byte {
	zeros := 0
	for zeros < len(nal) && nal[zeros] == 0 {
		zeros++
	}
	if zeros >= 2 && zeros < len(nal) && nal[zeros] == 1 {
		return nal[zeros+1:]
	}
	return nal
}

// nalKind describes the place of a NAL unit in an access unit, as far as its first bytes tell.
type nalKind struct {
	picture   bool // it is a slice of a picture
	first     bool // it is the first slice of the picture
	leads     bool // it never follows a slice of the same access unit
	reference bool // other pictures may be predicted from it
}

// format knows how a codec's NAL units are packed in RTP, and in which order they come.
type format interface {
	// kind looks at a NAL unit, which must contain at least its header.
	kind(nal []byte) nalKind
	// unpack passes the NAL units of an RTP payload to a. The error is ErrMalformed.
	unpack(payload []byte, a *assembler) error
}

// newFormat returns the format of a codec; nil if the codec is unknown.
func newFormat(d description) format {
	switch d.codec {
	case "H264":
		return h264{}
	case "H265":
		return h265{don: d.don}
	}
	return nil
}

// aggregated passes the NAL units of an aggregation packet to a. Each follows gap bytes and a length of two bytes (RFC
// 6184, section 5.7.1; RFC 7798, section 4.4.2).
func aggregated(b []byte, gap int, a *assembler) error {
	for len(b) > 0 {
		if len(b) < gap+2 {
			return ErrMalformed
		}
		size := int(b[gap])<<8 | int(b[gap+1])
		b = b[gap+2:]
		if size > len(b) {
			return ErrMalformed
		}

		if size > 0 {
			a.addNAL(b[:size])
		}
		if b = b[size:]; len(bytes.Trim(b, "\x00")) == 0 { // padding
			return nil
		}
	}
	return nil
}
