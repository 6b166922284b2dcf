package session

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// offered makes a viewer's offer to its camera. It returns the viewer's end, and what the camera received.
func offered(t testing.TB, camera, viewer *envelope.Pair, o handshake.Offer) (*handshake.Offerer, handshake.Received) {
	t.Helper()
	h, err := handshake.NewOfferer(viewer, nil)
	if err != nil {
		t.Fatal(err)
	}
	box := viewer.Mailbox(envelope.ToCamera, 1)
	o.Challenge = sessiontest.Random(8)
	wire, err := h.SealOffer(box, o)
	if err != nil {
		t.Fatal(err)
	}

	opened, err := camera.Open(box, wire, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return h, handshake.Received{Pair: camera, Opened: opened, Wire: wire}
}

// agreed returns one session's secret as each end derives it.
func agreed(t testing.TB) (camera, viewer *handshake.Secret) {
	t.Helper()
	ours, theirs := sessiontest.Pair(t)
	h, received := offered(t, ours, theirs, handshake.Offer{Still: true})
	o, err := handshake.ParseOffer(received.Opened.Body)
	if err != nil {
		t.Fatal(err)
	}

	wire, camera, err := received.Answer(o, handshake.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	_, viewer, err = handshake.NewInbox(nil).OpenReply(h, signaling.Delivery{Body: wire})
	if err != nil {
		t.Fatal(err)
	}
	return camera, viewer
}

// agreedKeys returns the record keys of both ends.
func agreedKeys(t testing.TB) (camera, viewer *handshake.RecordKeys) {
	t.Helper()
	c, v := agreed(t)
	return c.RecordKeys(envelope.ToViewer), v.RecordKeys(envelope.ToCamera)
}

// sealedRecord returns a record that c sealed.
func sealedRecord(t testing.TB, c handshake.RecordChannel, m handshake.Message) []byte {
	t.Helper()
	wire, err := c.Seal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}
