package session

import (
	"crypto/sha256"
	"errors"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/signaling"
)

// Rejection is something that arrived and did not open; nothing of it was shown.
type Rejection struct {
	What string // "envelope", "record", "frame" or "packet"
	Err  error
}

// Text is what a person is told.
func (Rejection) Text() string {
	return "The relay delivered something that is not from your camera; nothing was shown."
}

// foreign says whether an error means that what arrived is from nobody who holds this session's or pair's keys, or not for here: the
// relay's doing, and told to it. The rest is the other end's, or only late.
func foreign(err error) bool {
	return envelope.Foreign(err) || errors.Is(err, ErrRecord) || errors.Is(err, ErrStill) || errors.Is(err, sframe.ErrOpen) || errors.Is(err, sframe.ErrHeader) || errors.Is(err, sframe.ErrKID)
}

const (
	maxSeen  = 256 // more than a session has messages
	maxEarly = 64  // as many as a camera's outbox holds
)

// arrivals are the messages of a session's own mailbox, and which of them are no reason for alarm although they do not open. Mailboxes
// deliver at least once; a relay that restarts forgets what waited in it, so that what follows an answer can come without it; and
// a camera that restarts may answer again. One goroutine uses it.
type arrivals struct {
	follows func(body []byte) bool // whether a body may be what follows an answer; nil: there is no answer to wait for
	seen    map[[32]byte]bool      // hashes of what has opened
	early   []signaling.Delivery   // came before the answer, and may be what follows it
}

// again says whether a copy of this message has opened.
func (a *arrivals) again(d signaling.Delivery) bool { return a.seen[sha256.Sum256(d.Body)] }

// opened remembers a message that has opened, to know its copies by.
func (a *arrivals) opened(d signaling.Delivery) {
	if a.seen == nil {
		a.seen = make(map[[32]byte]bool)
	}
	if len(a.seen) < maxSeen {
		a.seen[sha256.Sum256(d.Body)] = true
	}
}

// mayBeRecord tells a record from an envelope, by its outside.
func mayBeRecord(body []byte) bool {
	return len(body) >= recordLeast && len(body) <= recordMax && body[0] == recordVersion && !envelope.HasSize(len(body))
}

// mayFollow says whether a body may be what follows the answer of a connection.
func mayFollow(body []byte) bool { return mayBeRecord(body) || mayBeChunk(body) }

// mayBeChunk tells a chunk of a still from an envelope, by its outside.
func mayBeChunk(body []byte) bool { return len(body) > 1 && body[0] == chunkType }

// hold keeps a message that came before the answer, to be judged when there are keys; false: it is none that follows an answer, or one
// too many.
func (a *arrivals) hold(d signaling.Delivery) bool {
	if len(a.early) >= maxEarly || !a.follows(d.Body) {
		return false
	}
	a.early = append(a.early, d)
	return true
}

// release gives what was held, in order.
func (a *arrivals) release() []signaling.Delivery {
	held := a.early
	a.early = nil
	return held
}
