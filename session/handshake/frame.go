package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
)

const (
	frameVersion    = 2
	frameHeaderSize = 19
	flagKeyframe    = 1 // also in every piece of a keyframe
	flagContinued   = 2 // the access unit began in an earlier frame
	flagContinues   = 4 // it goes on in the next frame
	codecH264       = 1
	// MaxPiece is how many bytes of an access unit one frame holds at most: 425 packets. A browser's packet buffer has
	// room for 512 packets at first and for 2,048 at most, and a larger frame never comes out of it.
	MaxPiece = 500_000
)

// ErrFrame is returned for a frame that opens but is not laid out as in doc/protocol.md, section 7.
var ErrFrame = errors.New("malformed frame")

// Frame is one opened access unit, as the viewer gets it.
type Frame struct {
	AccessUnit []byte // H.264 Annex B, bit for bit what the camera read
	Keyframe   bool
	// SFrame counter of its first piece; if it does not follow the previous frame's CTR, frames are missing
	First      uint64
	CTR        uint64       // SFrame counter of its last piece; equals First unless the picture is large
	Captured   time.Time    // by the camera's clock; for display only
	Challenged clock.Moment // when the viewer issued the challenge that the frame answers; zero if it answers none
	// this is the first picture, which came by signaling; the stream follows, with its own keyframe and CTR
	Still bool

	continued, continues bool // this is a piece, and not the first or not the last one
}

// Live reports whether the frame may be called live now. That ends LiveFor after its challenge was issued, so call Live
// again for as long as the frame is shown, and show the frame as delayed once Live returns false.
func (f Frame) Live() bool { return f.Challenged.Age() <= LiveFor }

// piece is the part of an access unit that one frame holds: all of it, unless it is large.
type piece struct {
	data                 []byte
	continued, continues bool
}

// cut returns the pieces of an access unit.
func cut(unit []byte) (pieces []piece) {
	for len(unit) > MaxPiece {
		pieces = append(pieces, piece{data: unit[:MaxPiece], continued: len(pieces) > 0, continues: true})
		unit = unit[MaxPiece:]
	}
	return append(pieces, piece{data: unit, continued: len(pieces) > 0})
}

// appendFrame appends the plaintext of a frame that holds a whole access unit to dst.
func appendFrame(dst []byte, au media.AccessUnit, c Challenge) []byte {
	return appendPiece(dst, au, piece{data: au.Data}, c)
}

// appendPiece appends the plaintext of a frame that holds piece p of an access unit to dst.
func appendPiece(dst []byte, au media.AccessUnit, p piece, c Challenge) []byte {
	var flags byte
	if au.Keyframe {
		flags |= flagKeyframe
	}
	if p.continued {
		flags |= flagContinued
	}
	if p.continues {
		flags |= flagContinues
	}

	dst = append(dst, frameVersion, flags, codecH264)
	dst = binary.BigEndian.AppendUint64(dst, uint64(au.Captured.Time().UnixMilli()))
	dst = append(dst, c[:]...)
	return append(dst, p.data...)
}

// parseFrame reads the plaintext of a video frame. The access unit, or piece of one, aliases the plaintext.
func parseFrame(plaintext []byte) (Frame, Challenge, error) {
	var c Challenge
	if len(plaintext) <= frameHeaderSize {
		return Frame{}, c, fmt.Errorf("%w: %d bytes", ErrFrame, len(plaintext))
	}
	version, flags, codec := plaintext[0], plaintext[1], plaintext[2]
	if version != frameVersion || flags&^(flagKeyframe|flagContinued|flagContinues) != 0 || codec != codecH264 {
		return Frame{}, c, fmt.Errorf("%w: version %d, flags %#x, codec %d", ErrFrame, version, flags, codec)
	}

	copy(c[:], plaintext[11:frameHeaderSize])
	return Frame{
		AccessUnit: plaintext[frameHeaderSize:],
		Keyframe:   flags&flagKeyframe != 0,
		Captured:   time.UnixMilli(int64(binary.BigEndian.Uint64(plaintext[3:11]))),
		continued:  flags&flagContinued != 0,
		continues:  flags&flagContinues != 0,
	}, c, nil
}

// ParseStill reads the plaintext of a still.
func ParseStill(plaintext []byte, fresh *Freshness) (*Frame, error) {
	frame, c, err := parseFrame(plaintext)
	if err != nil {
		return nil, err
	}
	if frame.continued || frame.continues {
		return nil, fmt.Errorf("%w: a piece of a picture", ErrFrame)
	}

	frame.Still, frame.Challenged = true, fresh.when(c)
	return &frame, nil
}
