package session

import (
	"bytes"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// A camera whose random numbers come again, as those of a machine do that is set back with its memory, seals nothing under a key of before: the
// viewer's fresh keys are in every key, and the time of the answer is. What does come again is said in doc/threat-model.md.
func TestIncidentCameraRolledBackWithItsRandomNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		camera, viewer := pairOf(t)
		box := viewer.Mailbox(envelope.ToCamera, 1)
		offered := func() CameraConfig {
			h, err := newHandshake(viewer)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.seal(box, offer{Still: true, Challenge: fresh(challengeSize)}, time.Now()); err != nil {
				t.Fatal(err)
			}
			opened, err := camera.Open(camera.Mailbox(envelope.ToCamera, 1), h.wire, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return CameraConfig{Pair: camera, Offer: opened, OfferWire: h.wire}
		}
		first, second := offered(), offered()
		picture := bytes.Repeat([]byte("the same picture"), 100)
		answers := func(cfg CameraConfig) (wire []byte, s *secret, pieces [][]byte) {
			time.Sleep(time.Millisecond) // the clock is not set back
			cryptotest.SetGlobalRandom(t, 2010)
			o, err := parseOffer(cfg.Offer.Body)
			if err == nil {
				wire, s, err = reply(cfg, o, answer{})
			}
			if err == nil {
				pieces, err = sealStill(s, picture)
			}
			if err != nil {
				t.Fatal(err)
			}
			return wire, s, pieces
		}
		wire, s, pieces := answers(first)
		for name, cfg := range map[string]CameraConfig{"another offer": second, "the same offer, replayed": first} {
			otherWire, other, otherPieces := answers(cfg)
			if !bytes.Equal(s.randomC, other.randomC) {
				t.Fatalf("%s: other random numbers: the test shows nothing", name)
			}
			if bytes.Equal(wire, otherWire) || bytes.Equal(s.key, other.key) || bytes.Equal(s.cameraBaseKey(stillTrack), other.cameraBaseKey(stillTrack)) {
				t.Errorf("%s: sealed under the same keys", name)
			}
			if n := common(pieces[0], otherPieces[0]); n > len(pieces[0])/16 {
				t.Errorf("%s: %d of %d bytes of a picture's ciphertext are the same", name, n, len(pieces[0]))
			}
		}
	})
}

// common counts the places at which two ciphertexts are the same.
func common(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}
