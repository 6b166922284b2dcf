package media

import (
	"bytes"
	"errors"
	"fmt"
)

var (
	// ErrMalformed is returned for an RTP payload that does not have its carrier's shape. No camera of ours sent it.
	ErrMalformed = errors.New("the packet does not have the carrier's shape")
	// ErrTorn is returned for a frame whose beginning or end is missing.
	ErrTorn = errors.New("the frame is torn: packets of it are missing")
)

// Frame is a sealed frame that arrived over RTP. Nothing in it is authenticated yet.
type Frame struct {
	Keyframe  bool
	Sealed    []byte
	Timestamp uint32 // the RTP timestamp, 90 kHz (RFC 6184, section 8.2.1; RFC 7741, section 4.1)
	Gap       bool   // packets were lost since the previous frame: a decoder must wait for a keyframe
}

// Depacketizer undoes [Carrier.Packetize]. After an error it continues at the first packet of the next frame.
type Depacketizer struct {
	carrier  Carrier
	started  bool // a frame has begun
	skipping bool // the packets that follow belong to a frame that was given up
	key      bool
	sealed   []byte
}

// fragment is the part of a frame in one RTP payload.
type fragment struct {
	start, end, key bool
	body            []byte
}

// NewDepacketizer returns a Depacketizer for payloads of carrier c. The first payload may be in the middle of a frame.
func NewDepacketizer(c Carrier) *Depacketizer { return &Depacketizer{carrier: c, skipping: true} }

// Reset gives up the frame in progress, because packets are missing. It reports whether there was one.
func (d *Depacketizer) Reset() bool {
	torn := d.started
	d.started, d.skipping, d.sealed = false, true, nil
	return torn
}

// Push adds the next RTP payload, in order, and its marker bit. done reports whether it completed a frame, which the
// caller may keep. The error is ErrMalformed, ErrTooLarge or ErrTorn. ErrTorn may be about the frame before this
// payload, and done be true as well.
func (d *Depacketizer) Push(payload []byte, marker bool) (frame Frame, done bool, err error) {
	f, err := d.carrier.parse(payload)
	if err != nil {
		d.Reset()
		return Frame{}, false, err
	}
	switch {
	case f.body == nil: // parameter sets, or padding only (RFC 3550, 5.1)
		return Frame{}, false, nil
	case f.start:
		if d.started {
			err = fmt.Errorf("assemble frame: %w", ErrTorn)
		}
		d.started, d.skipping, d.key, d.sealed = true, false, f.key, nil
	case d.skipping:
		return Frame{}, false, nil
	case !d.started:
		d.Reset()
		return Frame{}, false, fmt.Errorf("assemble frame: %w", ErrTorn)
	}

	if len(d.sealed)+len(f.body) > MaxAccessUnit {
		d.Reset()
		return Frame{}, false, fmt.Errorf("assemble frame: %w", ErrTooLarge)
	}
	d.sealed = append(d.sealed, f.body...)
	if !marker && !f.end {
		return Frame{}, false, err
	}
	if d.carrier == H264Carrier && !f.end {
		d.Reset()
		return Frame{}, false, fmt.Errorf("assemble frame: %w", ErrTorn)
	}

	frame = Frame{Keyframe: d.key, Sealed: d.sealed}
	d.started, d.sealed = false, nil
	return frame, true, err
}

// parse reads one payload. The fragment's body is nil if the payload contains no part of a frame.
func (c Carrier) parse(payload []byte) (f fragment, err error) {
	if len(payload) == 0 {
		return fragment{}, nil
	}
	ok := false
	if c == VP8Carrier {
		f, ok = parseVP8(payload)
	} else {
		f, ok = parseH264(payload)
	}

	if !ok {
		return fragment{}, fmt.Errorf("read %s payload: %w", c, ErrMalformed)
	}
	return f, nil
}

func parseH264(payload []byte) (f fragment, ok bool) {
	if bytes.Equal(payload, carrierSPS) || bytes.Equal(payload, carrierPPS) {
		return fragment{}, true
	}
	if len(payload) < 3 || payload[0]&0x1f != fuA {
		return fragment{}, false
	}

	header := payload[0]&0xe0 | payload[1]&0x1f
	f = fragment{
		start: payload[1]&fuStart != 0, end: payload[1]&fuEnd != 0,
		key: header == nalHeaderKey, body: payload[2:],
	}
	if !f.key && header != nalHeaderDelta || payload[1]&0x20 != 0 || f.start && f.end {
		return fragment{}, false
	}
	if !f.start {
		return f, true
	}

	lead := h264Delta
	if f.key {
		lead = h264Key
	}
	return f.strip(lead)
}

func parseVP8(payload []byte) (f fragment, ok bool) {
	f.body = payload[1:]
	if payload[0] == 0 && len(f.body) > 0 {
		return f, true
	}
	if payload[0] != vp8Start {
		return fragment{}, false
	}

	f.start = true
	f.key = bytes.HasPrefix(f.body, vp8Key)
	if f.key {
		return f.strip(vp8Key)
	}
	return f.strip(vp8Delta)
}

// strip removes the constant bytes from the first fragment of a frame.
func (f fragment) strip(lead []byte) (fragment, bool) {
	var ok bool
	f.body, ok = bytes.CutPrefix(f.body, lead)
	return f, ok
}
