package handshake

import (
	"bytes"
	"testing"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

func TestHeldMessagesAreBounded(t *testing.T) {
	a := NewInbox(nil)
	record := func() signaling.Delivery {
		return signaling.Delivery{Body: append([]byte{recordVersion}, sessiontest.Random(99)...)}
	}
	const held = 64 // as many as a camera's outbox holds
	for range held {
		d := record()
		for range 3 { // by as many carriers
			if !a.hold(signaling.Delivery{Body: bytes.Clone(d.Body)}) {
				t.Fatal("not held")
			}
		}
	}
	if a.hold(record()) || len(a.Release()) != held || len(a.Release()) != 0 {
		t.Error("more is held than the limit, or released twice")
	}

	for range 2 * maxSeen {
		a.NoteOpened(signaling.Delivery{Body: sessiontest.Random(8)})
	}
	if len(a.seen) > maxSeen {
		t.Errorf("%d hashes are kept", len(a.seen))
	}
}

// Messages that wait for the answer are held in memory, so none is held that is longer than any chunk.
func TestHeldBodiesAreNoLongerThanAPiece(t *testing.T) {
	bodies, err := testSecret(t).sealChunks(sessiontest.Random(chunkBytes))
	if err != nil {
		t.Fatal(err)
	}
	in := NewInbox(nil)
	long := append(bytes.Clone(bodies[0]), make([]byte, maxChunk+1-len(bodies[0]))...)
	if !in.follows(bodies[0]) || !in.follows(long[:maxChunk]) || in.follows(long) {
		t.Errorf("a whole piece of %d bytes may follow: %t; the longest, of %d: %t; a longer: %t", len(bodies[0]),
			in.follows(bodies[0]), maxChunk, in.follows(long[:maxChunk]), in.follows(long))
	}
}
