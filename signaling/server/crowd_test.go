package server

import (
	"testing"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// TestFloodOfOneMailboxTakesNothingFromTheOthers: one viewer posts unstored messages as fast as it can to its camera,
// which reads slowly. The camera stays connected, and another viewer's offer reaches it.
func TestFloodOfOneMailboxTakesNothingFromTheOthers(t *testing.T) {
	e := start(t, Config{LoopbackUnlimited: true})
	theirs, other := newMailbox(), newMailbox()
	camera, viewer, neighbour := e.narrow(t), e.wire(t), e.wire(t)
	for _, mb := range []signaling.Mailbox{theirs, other} {
		want(t, "the camera opens", camera.open(mb, signaling.Read), 0)
		e.untilLive(t, mb)
	}

	want(t, "the viewer opens", viewer.open(theirs, signaling.Write), 0)
	want(t, "the neighbour opens", neighbour.open(other, signaling.Write), 0)

	const flood = 500 // 20 MB
	for range flood {
		want(t, "the viewer posts", viewer.post(theirs, signaling.MaxBody, 0), 0)
	}
	want(t, "the neighbour offers", neighbour.post(other, 1000, 60), 0)
	for n := 0; ; n++ {
		m := camera.delivery()
		if m.Name == other.Name() {
			break
		}
		if n > flood/2 {
			t.Fatal("the offer waits behind the flood of one viewer")
		}
	}
}

// TestStoredMessagesHaveTheirTurnInAFlood opens a mailbox with a stored message while another mailbox is flooded.
func TestStoredMessagesHaveTheirTurnInAFlood(t *testing.T) {
	o := newServer(t, Config{LoopbackUnlimited: true}).visit(t, "127.0.0.1").out
	flood, stored := signaling.Name{1}, &reader{name: signaling.Name{2}}
	push := func() { o.pushFrame(signaling.Deliver{Name: flood, Body: make([]byte, 1000)}) }
	push()
	push()
	o.addReplay(stored)

	for range 3 { // the two queued before it, and the message itself
		f, r, _ := o.front()
		if r == stored {
			return
		}
		o.popFrame(f)
		push() // so that there is always another frame
	}
	t.Error("the stored message is never delivered")
}

// TestDeliveriesLeaveRoomForAnswers fills a camera's outbox through all mailboxes that one viewer has there. Meanwhile
// the camera sends requests, and is not cut off as one that does not read.
func TestDeliveriesLeaveRoomForAnswers(t *testing.T) {
	s := newServer(t, Config{LoopbackUnlimited: true})
	c := s.visit(t, "127.0.0.1")
	c.cancel = func() { t.Error("the connection ends") }
	for i := range 2 * outboxBytes / mailboxBytes {
		for c.deliver(nameOf(1, i), bus.Message{Body: make([]byte, 1000)}) {
		}
	}

	if c.out.bytes < outboxBytes/2 {
		t.Fatalf("%d bytes wait", c.out.bytes)
	}
	for range 1000 {
		c.handle(t.Context(), signaling.Revoke{ID: 1})
	}
}
