package session

import (
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
)

// Rejection describes something that arrived and did not open. Nothing of it was shown.
type Rejection struct {
	What string // "envelope", "record", "frame" or "packet"
	Err  error
}

// rejectDelivery tells the relay of a message that is foreign, and the caller of any that does not open. onReject may
// be nil.
func rejectDelivery(d signaling.Delivery, what string, err error, onReject func(Rejection)) {
	if handshake.IsForeign(err) {
		d.Reject()
	}
	if onReject != nil {
		onReject(Rejection{what, err})
	}
}

// Text returns the sentence for a person.
func (Rejection) Text() string {
	return "The relay delivered something that is not from your camera; nothing was shown."
}
