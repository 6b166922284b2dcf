package media

import "fmt"

// Carrier is the outward shape of a sealed frame: the codec that a browser's depacketizer takes it for. The constants
// around the sealed bytes reveal only whether the frame is a keyframe.
//
//	H264Carrier (RFC 6184, packetization-mode 1)
//	  keyframe only:  packet: SPS (constant)    packet: PPS (constant)
//	  FU-A packets:   +-----------+-----------+------------------------------------------+
//	                  | FU indic. | FU header | fragment of: 2 constant bytes ‖ sealed    |
//	                  +-----------+-----------+------------------------------------------+
//	                  NAL header 65 (key) or 41 (delta); constants 88 84 (key) or 9a 84 (delta)
//
//	VP8Carrier (RFC 7741)
//	  packets:        +------------+-----------------------------------------------------+
//	                  | descriptor | fragment of: VP8 frame header (constant) ‖ sealed    |
//	                  +------------+-----------------------------------------------------+
//	                  descriptor 10 (first) or 00; header of 10 bytes (key) or 3 bytes (delta)
//
// No escaping is needed: browsers pass the frame's bytes on without reading them.
type Carrier uint8

const (
	// H264Carrier is for browsers that offer H.264 in WebRTC.
	H264Carrier Carrier = iota + 1
	// VP8Carrier is for all others: every browser offers VP8 (RFC 7742, section 5).
	VP8Carrier
)

// MaxPayload is the size of the largest RTP payload, in bytes. With RTP header and extensions (28), SRTP tag (16), TURN
// channel header (4), UDP and IPv6 (48), it fits into IPv6's minimum MTU of 1280.
const MaxPayload = 1180

// The constants of both shapes. The SPS says constrained baseline with 16x16 pixels, so nothing in it depends on the
// camera.
var (
	carrierSPS = []byte{0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x1e, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03,
		0x00, 0xca, 0x3c, 0x48, 0x99, 0x20}
	carrierPPS = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}

	h264Key, h264Delta = []byte{0x88, 0x84}, []byte{0x9a, 0x84} // first_mb 0, slice_type I or P, pps 0
	vp8Key             = []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00}
	vp8Delta           = []byte{0x11, 0x02, 0x00}
)

const (
	nalHeaderKey   = 0x65
	nalHeaderDelta = 0x41
	fuA            = 28 // RFC 6184, 5.8
	fuStart        = 0x80
	fuEnd          = 0x40
	vp8Start       = 0x10 // S bit, partition 0 (RFC 7741, 4.2)
)

// ParseCarrier returns the carrier of that name. It is the inverse of [Carrier.String].
func ParseCarrier(name string) (Carrier, error) {
	for _, c := range []Carrier{H264Carrier, VP8Carrier} {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("parse carrier: unknown carrier %q", name)
}

func (c Carrier) String() string {
	switch c {
	case H264Carrier:
		return "h264"
	case VP8Carrier:
		return "vp8"
	}
	return fmt.Sprintf("carrier(%d)", uint8(c))
}

// Packetize wraps a sealed frame, which must not be empty, into RTP payloads of at most MaxPayload bytes, in order. The
// last one should be sent with the RTP marker. The payloads share memory, some of it constants of this package, so the
// caller must not change them.
func (c Carrier) Packetize(keyframe bool, sealed []byte) [][]byte {
	if c == VP8Carrier {
		return packetizeVP8(keyframe, sealed)
	}
	return packetizeH264(keyframe, sealed)
}

func packetizeH264(keyframe bool, sealed []byte) [][]byte {
	const room = MaxPayload - 2
	header, lead := byte(nalHeaderDelta), h264Delta
	if keyframe {
		header, lead = nalHeaderKey, h264Key
	}

	size := len(lead) + len(sealed)
	// One fragment must not both start and end a NAL unit (RFC 6184, 5.8).
	count := max(2, (size+room-1)/room)
	step := min(room, (size+count-1)/count)
	payloads := make([][]byte, 0, count+2)
	if keyframe {
		payloads = append(payloads, carrierSPS, carrierPPS)
	}

	buf := make([]byte, 0, size+2*count)
	for n := range count {
		from := len(buf)
		fu := header & 0x1f
		if n == 0 {
			fu |= fuStart
		}

		if n == count-1 {
			fu |= fuEnd
		}
		buf = append(buf, header&0xe0|fuA, fu)
		take := step
		if n == 0 {
			buf = append(buf, lead...)
			take -= len(lead)
		}

		take = max(0, min(take, len(sealed)))
		buf = append(buf, sealed[:take]...)
		sealed = sealed[take:]
		payloads = append(payloads, buf[from:len(buf):len(buf)])
	}

	return payloads
}

func packetizeVP8(keyframe bool, sealed []byte) [][]byte {
	const room = MaxPayload - 1
	lead := vp8Delta
	if keyframe {
		lead = vp8Key
	}

	size := len(lead) + len(sealed)
	count := (size + room - 1) / room
	payloads := make([][]byte, 0, count)
	buf := make([]byte, 0, size+count)
	for n := range count {
		from, take := len(buf), room
		if n == 0 {
			buf = append(append(buf, vp8Start), lead...)
			take -= len(lead)
		} else {
			buf = append(buf, 0)
		}

		take = min(take, len(sealed))
		buf = append(buf, sealed[:take]...)
		sealed = sealed[take:]
		payloads = append(payloads, buf[from:len(buf):len(buf)])
	}

	return payloads
}
