package handshake

import (
	"errors"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/sframe"
)

// IsForeign reports whether an error means that a message was not sealed with this session's or pair's keys, or not for
// this mailbox. That is the relay's doing, and is reported to the relay. Any other error is the other end's fault, or
// the message is only late.
func IsForeign(err error) bool {
	if envelope.Foreign(err) {
		return true
	}
	for _, foreign := range []error{ErrRecord, ErrStill, sframe.ErrOpen, sframe.ErrHeader,
		sframe.ErrKID} {
		if errors.Is(err, foreign) {
			return true
		}
	}

	return false
}

// IsHarmless reports whether an error means that a record is the other end's, but came again, late or too fast. It is
// not obeyed, and that is no reason for alarm: carriers deliver at least once, and overtake each other.
func IsHarmless(err error) bool {
	return errors.Is(err, ErrRecordCopy) || errors.Is(err, ErrRecordLate) || errors.Is(err, ErrTooFast)
}
