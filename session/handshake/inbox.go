package handshake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	maxSeen  = 64 // more than a session has replies, and chunks of a picture
	maxEarly = 64 // as many as a camera's outbox holds
)

// Inbox sorts the messages of a session's own mailbox, so that an honest relay causes no alarm. Mailboxes deliver at
// least once, and several carriers may each bring a copy. A relay that restarts forgets what waited in it, so messages
// that follow an answer can arrive without it. A camera that restarts may answer again. One goroutine uses an Inbox.
//
// Records need no Inbox to recognize copies, because their counters do.
type Inbox struct {
	onReply func(carrier string)   // called with the carrier of each reply that opens; may be nil
	follows func(body []byte) bool // reports whether a message may follow the answer
	seen    map[[32]byte]bool      // hashes of replies and chunks that have opened
	early   []signaling.Delivery   // messages that arrived before the answer, and may follow it; no two are the same
}

// NewInbox returns the inbox of a viewer's session. Records, and chunks of the first picture, follow the answer. It
// calls onReply, which may be nil, with the carrier of each answer or refusal that opens.
func NewInbox(onReply func(carrier string)) *Inbox {
	follows := func(body []byte) bool { return mayBeRecord(body) || MayBeChunk(body) }
	return &Inbox{onReply: onReply, follows: follows}
}

// NewStillInbox is like NewInbox, for a viewer that has asked for a still. Only chunks follow its answer.
func NewStillInbox(onReply func(carrier string)) *Inbox {
	return &Inbox{onReply: onReply, follows: MayBeChunk}
}

// NewBulkInbox is like NewInbox, for a viewer's bulk session. Only records follow its answer.
func NewBulkInbox(onReply func(carrier string)) *Inbox {
	return &Inbox{onReply: onReply, follows: mayBeRecord}
}

// OpenedBefore reports whether a copy of this reply or chunk has opened.
func (in *Inbox) OpenedBefore(d signaling.Delivery) bool { return in.seen[sha256.Sum256(d.Body)] }

// NoteOpened remembers a reply or chunk that has opened, to recognize copies of it.
func (in *Inbox) NoteOpened(d signaling.Delivery) {
	if in.seen == nil {
		in.seen = make(map[[32]byte]bool)
	}
	if len(in.seen) < maxSeen {
		in.seen[sha256.Sum256(d.Body)] = true
	}
}

// OpenReply opens a message as the camera's answer, and makes the session secret from it. If the message may follow the
// answer instead, OpenReply holds it until Release, and all results are nil. It returns a [NotReplyError] if the
// message neither is the answer nor may follow it, a *[Refusal], or an error that is the camera's own fault.
func (in *Inbox) OpenReply(h *Offerer, d signaling.Delivery) (*Answer, *Secret, error) {
	a, s, err := h.openReply(d.Body)
	if errors.As(err, new(NotReplyError)) && in.hold(d) {
		return nil, nil, nil
	}
	if err == nil {
		in.NoteOpened(d)
	}
	if in.onReply != nil && !errors.As(err, new(NotReplyError)) {
		in.onReply(d.Carrier)
	}
	return a, s, err
}

// IsReply reports whether a message that arrived after the answer is another reply to the same offer.
func (in *Inbox) IsReply(h *Offerer, d signaling.Delivery) bool {
	if !h.isReply(d.Body) {
		return false
	}
	in.NoteOpened(d) // each try to open a copy would cost an operation with a private key
	return true
}

// hold keeps a message that arrived before the answer until there are keys, and reports whether it did so. It does not
// keep messages that cannot follow an answer, or more than maxEarly. Of copies it keeps one.
func (in *Inbox) hold(d signaling.Delivery) bool {
	if slices.ContainsFunc(in.early, func(held signaling.Delivery) bool { return bytes.Equal(held.Body, d.Body) }) {
		return true
	}
	if len(in.early) >= maxEarly || !in.follows(d.Body) {
		return false
	}
	in.early = append(in.early, d)
	return true
}

// Release returns the messages that were held, in order.
func (in *Inbox) Release() []signaling.Delivery {
	held := in.early
	in.early = nil
	return held
}

// mayBeRecord reports whether a message may be a record. It looks only at the outside.
func mayBeRecord(body []byte) bool {
	return len(body) >= minRecord && len(body) <= maxRecord && body[0] == recordVersion
}

// MayBeChunk reports whether a message may be a chunk of a still. It looks only at the outside.
func MayBeChunk(body []byte) bool {
	return len(body) > 1 && len(body) <= maxChunk && body[0] == chunkType
}
