package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/media"
)

const (
	frameVersion    = 1
	frameHeaderSize = 19
	flagKeyframe    = 1
	codecH264       = 1
)

// ErrFrame is returned for a frame that opened but is not laid out as doc/protocol.md, section 7, says.
var ErrFrame = errors.New("malformed frame")

// Frame is one opened access unit, as the viewer gets it.
type Frame struct {
	AccessUnit []byte // H.264 Annex B, bit for bit what the camera read
	Keyframe   bool
	CTR        uint64        // SFrame counter: rises by one a frame; a gap is frames that did not arrive
	Captured   time.Time     // by the camera's clock: for display only
	Age        time.Duration // how long ago the viewer issued the challenge that the frame answers; at most 5 s means live
	Still      bool          // the first picture, which came by signaling: the stream follows, with a keyframe of its own and its own CTR
	Live       bool          // false: show it as delayed, never as live
}

// appendFrame appends the plaintext of a video frame to dst.
func appendFrame(dst []byte, au media.AccessUnit, c challenge) []byte {
	var flags byte
	if au.Keyframe {
		flags = flagKeyframe
	}
	dst = append(dst, frameVersion, flags, codecH264)
	dst = binary.BigEndian.AppendUint64(dst, uint64(au.Captured.UnixMilli()))
	dst = append(dst, c[:]...)
	return append(dst, au.Data...)
}

// parseFrame reads the plaintext of a video frame; the access unit aliases it.
func parseFrame(plaintext []byte) (Frame, challenge, error) {
	var c challenge
	if len(plaintext) <= frameHeaderSize {
		return Frame{}, c, fmt.Errorf("%w: %d bytes", ErrFrame, len(plaintext))
	}
	version, flags, codec := plaintext[0], plaintext[1], plaintext[2]
	if version != frameVersion || flags&^flagKeyframe != 0 || codec != codecH264 {
		return Frame{}, c, fmt.Errorf("%w: version %d, flags %#x, codec %d", ErrFrame, version, flags, codec)
	}
	copy(c[:], plaintext[11:frameHeaderSize])
	return Frame{
		AccessUnit: plaintext[frameHeaderSize:],
		Keyframe:   flags&flagKeyframe != 0,
		Captured:   time.UnixMilli(int64(binary.BigEndian.Uint64(plaintext[3:11]))),
	}, c, nil
}
