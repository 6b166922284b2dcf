package handshake

import (
	"bytes"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// A camera may draw the same random numbers again, as on a machine that is rolled back together with its memory. Even
// then it seals nothing under an earlier key, because the viewer's fresh keys and the answer's time go into every key.
// doc/threat-model.md says what does repeat.
func TestIncidentCameraRolledBackWithItsRandomNumbers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		camera, viewer := sessiontest.Pair(t)
		box := viewer.Mailbox(envelope.ToCamera, 1)
		offered := func() Received {
			h, err := NewOfferer(viewer, nil)
			if err != nil {
				t.Fatal(err)
			}
			wire, err := h.SealOffer(box, Offer{Still: true, Challenge: sessiontest.Random(challengeSize)})
			if err != nil {
				t.Fatal(err)
			}

			opened, err := camera.Open(camera.Mailbox(envelope.ToCamera, 1), wire, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return Received{Pair: camera, Opened: opened, Wire: wire}
		}

		first, second := offered(), offered()
		picture := bytes.Repeat([]byte("the same picture"), 100)
		answers := func(received Received) (wire []byte, s *Secret, pieces [][]byte) {
			time.Sleep(time.Millisecond) // the clock is not set back
			cryptotest.SetGlobalRandom(t, 2010)
			o, err := ParseOffer(received.Opened.Body)
			if err == nil {
				wire, s, err = received.Answer(o, Answer{})
			}
			if err == nil {
				pieces, err = s.sealChunks(picture)
			}
			if err != nil {
				t.Fatal(err)
			}
			return wire, s, pieces
		}

		wire, s, pieces := answers(first)
		for name, received := range map[string]Received{"another offer": second, "the same offer, replayed": first} {
			otherWire, other, otherPieces := answers(received)
			if !bytes.Equal(s.randomC, other.randomC) {
				t.Fatalf("%s: the random numbers differ, so the test proves nothing", name)
			}
			if bytes.Equal(wire, otherWire) || bytes.Equal(s.key, other.key) ||
				bytes.Equal(s.cameraBaseKey(stillTrack), other.cameraBaseKey(stillTrack)) {
				t.Errorf("%s: sealed under the same keys", name)
			}

			if n := common(pieces[0], otherPieces[0]); n > len(pieces[0])/16 {
				t.Errorf("%s: %d of %d bytes of a picture's ciphertext are equal", name, n, len(pieces[0]))
			}
		}
	})
}

// common counts the positions at which two ciphertexts agree.
func common(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}
