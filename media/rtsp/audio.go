package rtsp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxAudioFrames is how many frames one packet may contain: more than any camera sends, and few enough to keep.
const maxAudioFrames = 64

// AAC describes how AAC frames are packed in RTP payloads (RFC 3640, section 4.1: mode AAC-hbr or AAC-lbr).
type AAC struct {
	SizeLength       int // bits of AU-size
	IndexLength      int // bits of AU-Index
	IndexDeltaLength int // bits of AU-Index-delta
	Config           []byte
}

// ParseAAC reads the value of a=fmtp (RFC 3640, section 4.1). Its error wraps ErrMalformed.
func ParseAAC(fmtp string) (AAC, error) {
	var a AAC
	for _, p := range strings.Split(fmtp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		into := map[string]*int{
			"sizelength":       &a.SizeLength,
			"indexlength":      &a.IndexLength,
			"indexdeltalength": &a.IndexDeltaLength,
		}[strings.ToLower(name)]

		switch {
		case into != nil:
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 32 {
				return AAC{}, fmt.Errorf("read AAC parameters: %s: %w", name, ErrMalformed)
			}
			*into = n
		case strings.EqualFold(name, "config"):
			for i := 0; i+2 <= len(value) && len(a.Config) < 64; i += 2 {
				b, err := strconv.ParseUint(value[i:i+2], 16, 8)
				if err != nil {
					return AAC{}, fmt.Errorf("read AAC parameters: config: %w", ErrMalformed)
				}
				a.Config = append(a.Config, byte(b))
			}
		}
	}

	if a.SizeLength == 0 {
		return AAC{}, fmt.Errorf("read AAC parameters: no SizeLength: %w", ErrMalformed)
	}
	return a, nil
}

// Frames returns the AAC frames of a payload, which share its memory. Each packet of a fragmented frame gives the size
// of the whole frame (RFC 3640, section 3.2.3): then rest is the part in this packet, and size is that of the whole.
func (a AAC) Frames(payload []byte) (frames [][]byte, rest []byte, size int, err error) {
	if len(payload) < 2 {
		return nil, nil, 0, fmt.Errorf("read AAC payload: %w", ErrMalformed)
	}
	bits := int(payload[0])<<8 | int(payload[1])
	length := (bits + 7) / 8
	if 2+length > len(payload) {
		return nil, nil, 0, fmt.Errorf("read AAC payload: headers of %d bits: %w", bits, ErrMalformed)
	}

	headers, data := payload[2:2+length], payload[2+length:]
	for at := 0; at+a.SizeLength+a.IndexLength <= bits && len(frames) < maxAudioFrames; {
		size := readBits(headers, at, a.SizeLength)
		at += a.SizeLength + a.IndexLength
		if len(frames) > 0 {
			at += a.IndexDeltaLength - a.IndexLength
		}

		switch {
		case size <= len(data):
			frames, data = append(frames, data[:size:size]), data[size:]
		case len(frames) == 0:
			return nil, data, size, nil
		default:
			return nil, nil, 0, fmt.Errorf("read AAC payload: a frame of %d bytes: %w", size, ErrMalformed)
		}
	}

	if len(frames) == 0 {
		return nil, nil, 0, fmt.Errorf("read AAC payload: no frame: %w", ErrMalformed)
	}
	return frames, nil, 0, nil
}

// readBits reads n bits, at most 32, starting at a bit offset.
func readBits(b []byte, at, n int) (v int) {
	for i := at; i < at+n; i++ {
		bit := 0
		if i>>3 < len(b) {
			bit = int(b[i>>3] >> (7 - i&7) & 1)
		}
		v = v<<1 | bit
	}
	return v
}

// OpusDuration returns the playing time of an Opus packet (RFC 6716, section 3.1). An RTP payload is one Opus packet
// (RFC 7587, section 4.2). Its error wraps ErrMalformed.
func OpusDuration(packet []byte) (time.Duration, error) {
	if len(packet) == 0 {
		return 0, fmt.Errorf("read Opus packet: empty: %w", ErrMalformed)
	}
	frame := opusFrame(packet[0] >> 3)
	count := 1
	switch packet[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(packet) < 2 {
			return 0, fmt.Errorf("read Opus packet: no frame count: %w", ErrMalformed)
		}
		count = int(packet[1] & 0x3f)
	}

	if total := time.Duration(count) * frame; count > 0 && total <= 120*time.Millisecond {
		return total, nil
	}
	return 0, fmt.Errorf("read Opus packet: %d frames of %v: %w", count, frame, ErrMalformed)
}

// opusFrame returns the length of one frame in a configuration (RFC 6716, table 2).
func opusFrame(config byte) time.Duration {
	const ms = time.Millisecond
	switch {
	case config < 12: // SILK
		return []time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config&3]
	case config < 16: // hybrid
		return []time.Duration{10 * ms, 20 * ms}[config&1]
	}

	return []time.Duration{ms * 5 / 2, 5 * ms, 10 * ms, 20 * ms}[config&3] // CELT
}

// DecodeULaw appends the 16-bit samples of a PCMU payload to samples (ITU-T G.711, table 2a).
func DecodeULaw(samples []int16, payload []byte) []int16 {
	for _, b := range payload {
		b = ^b
		v := (int16(b&0x0f)<<3+0x84)<<(b>>4&7) - 0x84
		if b&0x80 != 0 {
			v = -v
		}
		samples = append(samples, v)
	}
	return samples
}

// DecodeALaw appends the 16-bit samples of a PCMA payload to samples (ITU-T G.711, table 1a).
func DecodeALaw(samples []int16, payload []byte) []int16 {
	for _, b := range payload {
		b ^= 0x55
		v := int16(b&0x0f)<<4 + 8
		if segment := b >> 4 & 7; segment > 0 {
			v = (v + 0x100) << (segment - 1)
		}

		if b&0x80 == 0 {
			v = -v
		}
		samples = append(samples, v)
	}
	return samples
}
