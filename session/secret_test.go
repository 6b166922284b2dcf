package session

import (
	"bytes"
	"crypto/hpke"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

// pairOf makes a pair as pairing leaves it at both ends.
func pairOf(t testing.TB) (camera, viewer *envelope.Pair) {
	t.Helper()
	c, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s, m := envelope.Secret(fresh(32)), envelope.Secret(fresh(32))
	return &envelope.Pair{Self: c, Role: identity.Camera, Peer: v.Bundle(), Secret: s, MailboxSecret: m},
		&envelope.Pair{Self: v, Role: identity.Viewer, Peer: c.Bundle(), Secret: s, MailboxSecret: m}
}

// agreementOf is an agreement of fresh values, but for the pair.
func agreementOf(pair *envelope.Pair) agreement {
	return agreement{pair: pair, id: envelope.SessionID(fresh(16)), offerWire: fresh(100), answerWire: fresh(100),
		offerExport: envelope.Secret(fresh(32)), kemSecret: fresh(32), viewerRandom: fresh(32), cameraRand: fresh(32)}
}

func testSecret(t testing.TB) *secret {
	t.Helper()
	camera, _ := pairOf(t)
	return agreementOf(camera).secret()
}

func TestBothEndsAgree(t *testing.T) {
	camera, viewer := pairOf(t)
	a := agreementOf(camera)
	atCamera := a.secret()
	a.pair = viewer
	atViewer := a.secret()
	if !bytes.Equal(atCamera.key, atViewer.key) || !bytes.Equal(atCamera.cameraBaseKey(0), atViewer.cameraBaseKey(0)) ||
		!bytes.Equal(atCamera.binding(0), atViewer.binding(0)) {
		t.Error("camera and viewer make different secrets of the same session")
	}
}

func TestSecretIsOfEveryInput(t *testing.T) {
	camera, _ := pairOf(t)
	other, _ := pairOf(t)
	base := agreementOf(camera)
	want := base.secret()
	for name, change := range map[string]func(a *agreement){
		"pair secret":     func(a *agreement) { p := *camera; p.Secret = other.Secret; a.pair = &p },
		"session id":      func(a *agreement) { a.id[15] ^= 1 },
		"offer envelope":  func(a *agreement) { a.offerWire = flipped(a.offerWire) },
		"answer envelope": func(a *agreement) { a.answerWire = flipped(a.answerWire) },
		"offer export":    func(a *agreement) { a.offerExport[0] ^= 1 },
		"kem secret":      func(a *agreement) { a.kemSecret = flipped(a.kemSecret) },
		"viewer's random": func(a *agreement) { a.viewerRandom = flipped(a.viewerRandom) },
		"camera's random": func(a *agreement) { a.cameraRand = flipped(a.cameraRand) },
	} {
		a := base
		change(&a)
		if got := a.secret(); bytes.Equal(got.key, want.key) || bytes.Equal(got.cameraBaseKey(0), want.cameraBaseKey(0)) {
			t.Errorf("another %s makes the same secret", name)
		}
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-1] ^= 1
	return c
}

// Two answers to one offer, as a camera gives whose state was rolled back, never seal frames under one key, even if all that is not
// the camera's own randomness of the moment came out the same.
func TestTwoAnswersToOneOffer(t *testing.T) {
	camera, _ := pairOf(t)
	first := agreementOf(camera)
	second := first
	second.cameraRand = fresh(32)
	if bytes.Equal(first.secret().cameraBaseKey(0), second.secret().cameraBaseKey(0)) {
		t.Error("both answers seal frames under one key")
	}
	rolledBack := *first.secret()
	rolledBack.randomC = fresh(32)
	if bytes.Equal(first.secret().cameraBaseKey(0), rolledBack.cameraBaseKey(0)) {
		t.Error("one session secret seals frames under one key for two randoms of the camera")
	}
}

func TestKeysAreOfOnePlace(t *testing.T) {
	s := testSecret(t)
	seen := map[string]string{string(s.cameraBaseKey(0)): "video", string(s.cameraBaseKey(1)): "audio"}
	if len(seen) != 2 {
		t.Error("two tracks have one base key")
	}
	nonces := make(map[string]bool)
	for _, c := range []channel{signalingChannel, dataChannel} {
		for _, d := range []envelope.Direction{envelope.ToCamera, envelope.ToViewer} {
			k := s.recordKey(c, d)
			nonces[string(k.nonce(0))] = true
		}
	}
	if len(nonces) != 4 {
		t.Error("two directions of records have one nonce sequence")
	}
	kids := make(map[uint64]bool)
	for _, r := range []identity.Role{identity.Camera, identity.Viewer} {
		for track := range byte(2) {
			kids[kid(r, track)] = true
		}
	}
	if len(kids) != 4 {
		t.Error("two senders' tracks have one KID")
	}
}

func TestBindingIsOfCameraViewerSessionAndTrack(t *testing.T) {
	s := testSecret(t)
	seen := map[string]bool{string(s.binding(0)): true, string(s.binding(1)): true}
	for _, change := range []func(x *secret){
		func(x *secret) { x.camera[0] ^= 1 }, func(x *secret) { x.viewer[0] ^= 1 }, func(x *secret) { x.id[0] ^= 1 },
		func(x *secret) { x.camera, x.viewer = x.viewer, x.camera },
	} {
		x := *s
		change(&x)
		seen[string(x.binding(0))] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d bindings of 6 places", len(seen))
	}
}

func TestKEM(t *testing.T) {
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	id := envelope.SessionID(fresh(16))
	enc, want, err := encapsulate(key.PublicKey().Bytes(), id)
	if err != nil || len(enc) != kemEncSize || len(want) != 32 {
		t.Fatalf("encapsulate: %d, %d bytes, %v", len(enc), len(want), err)
	}
	if got, err := decapsulate(key, enc, id); err != nil || !bytes.Equal(got, want) {
		t.Errorf("decapsulate: %v; both ends differ: %t", err, !bytes.Equal(got, want))
	}
	for name, open := range map[string]func() ([]byte, error){
		"another session":         func() ([]byte, error) { return decapsulate(key, enc, envelope.SessionID(fresh(16))) },
		"another encapsulation":   func() ([]byte, error) { return decapsulate(key, flipped(enc), id) },
		"a short encapsulation":   func() ([]byte, error) { return decapsulate(key, enc[1:], id) },
		"no encapsulation at all": func() ([]byte, error) { return decapsulate(key, nil, id) },
	} {
		if got, err := open(); err == nil && bytes.Equal(got, want) {
			t.Errorf("%s gives the same secret", name)
		}
	}
	if _, _, err := encapsulate(fresh(kemPublicSize-1), id); err == nil {
		t.Error("a key of a wrong size is taken")
	}
}
