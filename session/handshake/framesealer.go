package handshake

import (
	"sync/atomic"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// FrameSealer seals the camera's pictures. One goroutine seals; AnswerChallenge is safe for concurrent use.
type FrameSealer struct {
	sender  *sframe.Sender
	binding []byte
	answers atomic.Pointer[Challenge] // the viewer's last challenge

	plaintext []byte // reused
	sealed    []byte // reused
}

// NewFrameSealer returns a FrameSealer for the pictures of a session. They answer the session's first challenge until a
// new one arrives.
func (s *Secret) NewFrameSealer(first []byte) (*FrameSealer, error) {
	sender, err := s.frameSender(videoTrack)
	if err != nil {
		return nil, err
	}
	f := &FrameSealer{sender: sender, binding: s.binding(videoTrack)}
	f.answers.Store(new(Challenge))
	f.AnswerChallenge(first)
	return f, nil
}

// AnswerChallenge makes the pictures from now on carry the viewer's challenge. It ignores b if b is no challenge.
func (f *FrameSealer) AnswerChallenge(b []byte) {
	if len(b) == challengeSize {
		c := Challenge(b)
		f.answers.Store(&c)
	}
}

// UnsealedFrame is one frame to seal: a piece of an access unit, and the challenge that it answers.
type UnsealedFrame struct {
	unit   media.AccessUnit
	piece  piece
	answer Challenge
}

// Cut returns the frames of an access unit: one, or several if it is large.
func (f *FrameSealer) Cut(unit media.AccessUnit) (frames []UnsealedFrame) {
	answer := answerOf(unit, *f.answers.Load())
	for _, p := range cut(unit.Data) {
		frames = append(frames, UnsealedFrame{unit, p, answer})
	}
	return frames
}

// Seal seals a frame. The result is valid until the next call.
func (f *FrameSealer) Seal(u UnsealedFrame) (sealed []byte, err error) {
	f.plaintext = appendPiece(f.plaintext[:0], u.unit, u.piece, u.answer)
	sealed, err = f.sender.Seal(f.sealed[:0], f.binding, f.plaintext)
	if err == nil {
		f.sealed = sealed
	}
	return sealed, err
}

// answerOf returns the challenge that a picture carries: last, or none if the picture comes from the cached group and
// is too old to be called live. The caller must read last before the call: if it read last after the age is judged, a
// machine that sleeps in between could wake to a new challenge, and an old picture would carry it.
func answerOf(unit media.AccessUnit, last Challenge) Challenge {
	if unit.Captured.Age() > LiveFor {
		return Challenge{}
	}
	return last
}
