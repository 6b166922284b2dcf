package handshake

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// agreementOf returns an agreement of a pair. Everything else in it is random.
func agreementOf(pair *envelope.Pair) agreement {
	return agreement{
		pair:         pair,
		id:           envelope.SessionID(sessiontest.Random(16)),
		offerWire:    sessiontest.Random(100),
		answerWire:   sessiontest.Random(100),
		offerExport:  envelope.Secret(sessiontest.Random(32)),
		kemSecret:    sessiontest.Random(32),
		viewerRandom: sessiontest.Random(32),
		cameraRandom: sessiontest.Random(32),
	}
}

func testSecret(t testing.TB) *Secret {
	t.Helper()
	camera, _ := sessiontest.Pair(t)
	return agreementOf(camera).secret()
}

func TestBothEndsAgree(t *testing.T) {
	camera, viewer := sessiontest.Pair(t)
	a := agreementOf(camera)
	atCamera := a.secret()
	a.pair = viewer
	atViewer := a.secret()
	if !bytes.Equal(atCamera.key, atViewer.key) || !bytes.Equal(atCamera.cameraBaseKey(0), atViewer.cameraBaseKey(0)) ||
		!bytes.Equal(atCamera.binding(0), atViewer.binding(0)) {
		t.Error("camera and viewer make different secrets from the same session")
	}
}

func TestSecretDependsOnEveryInput(t *testing.T) {
	camera, _ := sessiontest.Pair(t)
	other, _ := sessiontest.Pair(t)
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
		"camera's random": func(a *agreement) { a.cameraRandom = flipped(a.cameraRandom) },
	} {
		a := base
		change(&a)
		if got := a.secret(); bytes.Equal(got.key, want.key) ||
			bytes.Equal(got.cameraBaseKey(0), want.cameraBaseKey(0)) {
			t.Errorf("another %s makes the same secret", name)
		}
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-1] ^= 1
	return c
}

// A camera whose state was rolled back may answer one offer twice. The two answers never seal frames under the same
// key, even if only the camera's random numbers for each answer differ.
func TestTwoAnswersToOneOfferHaveDifferentKeys(t *testing.T) {
	camera, _ := sessiontest.Pair(t)
	first := agreementOf(camera)
	second := first
	second.cameraRandom = sessiontest.Random(32)
	if bytes.Equal(first.secret().cameraBaseKey(0), second.secret().cameraBaseKey(0)) {
		t.Error("both answers seal frames under the same key")
	}

	rolledBack := *first.secret()
	rolledBack.randomC = sessiontest.Random(32)
	if bytes.Equal(first.secret().cameraBaseKey(0), rolledBack.cameraBaseKey(0)) {
		t.Error("one session secret seals frames under the same key, although the camera's random numbers differ")
	}
}

func TestEachPlaceHasItsOwnKeys(t *testing.T) {
	s := testSecret(t)
	seen := map[string]string{string(s.cameraBaseKey(0)): "video", string(s.cameraBaseKey(1)): "audio"}
	if len(seen) != 2 {
		t.Error("two tracks have the same base key")
	}

	nonces := make(map[string]bool)
	for _, c := range []channel{signalingChannel, dataChannel} {
		for _, d := range []envelope.Direction{envelope.ToCamera, envelope.ToViewer} {
			k := s.recordKey(c, d)
			nonces[string(k.nonce(0))] = true
		}
	}

	if len(nonces) != 4 {
		t.Error("two directions of records have the same nonce sequence")
	}
	kids := make(map[uint64]bool)
	for _, r := range []identity.Role{identity.Camera, identity.Viewer} {
		for track := range byte(2) {
			kids[kid(r, track)] = true
		}
	}

	if len(kids) != 4 {
		t.Error("two senders' tracks have the same KID")
	}
}

func TestBindingDependsOnCameraViewerSessionAndTrack(t *testing.T) {
	s := testSecret(t)
	seen := map[string]bool{string(s.binding(0)): true, string(s.binding(1)): true}
	for _, change := range []func(x *Secret){
		func(x *Secret) { x.camera[0] ^= 1 }, func(x *Secret) { x.viewer[0] ^= 1 }, func(x *Secret) { x.id[0] ^= 1 },
		func(x *Secret) { x.camera, x.viewer = x.viewer, x.camera },
	} {
		x := *s
		change(&x)
		seen[string(x.binding(0))] = true
	}

	if len(seen) != 6 {
		t.Errorf("6 places have %d different bindings", len(seen))
	}
}

func TestKEMAgreesOnlyWithItsOwnKeys(t *testing.T) {
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	id := envelope.SessionID(sessiontest.Random(16))
	enc, want, err := encapsulate(key.PublicKey().Bytes(), id)
	if err != nil || len(enc) != kemEncSize || len(want) != 32 {
		t.Fatalf("encapsulate: %d, %d bytes, %v", len(enc), len(want), err)
	}

	if got, err := decapsulate(key, enc, id); err != nil || !bytes.Equal(got, want) {
		t.Errorf("decapsulate: %v; both ends differ: %t", err, !bytes.Equal(got, want))
	}
	for name, open := range map[string]func() ([]byte, error){
		"another session": func() ([]byte, error) {
			return decapsulate(key, enc, envelope.SessionID(sessiontest.Random(16)))
		},
		"another encapsulation":   func() ([]byte, error) { return decapsulate(key, flipped(enc), id) },
		"a short encapsulation":   func() ([]byte, error) { return decapsulate(key, enc[1:], id) },
		"no encapsulation at all": func() ([]byte, error) { return decapsulate(key, nil, id) },
	} {
		if got, err := open(); err == nil && bytes.Equal(got, want) {
			t.Errorf("%s gives the same secret", name)
		}
	}

	public := key.PublicKey().Bytes()
	for name, bad := range map[string][]byte{
		"a wrong size":                 public[1:],
		"a point of low order":         append(bytes.Clone(public[:kemPublicSize-32]), make([]byte, 32)...),
		"coefficients above the prime": append([]byte{0xff, 0xff, 0xff}, public[3:]...),
	} {
		if enc, shared, err := encapsulate(bad, id); err == nil || enc != nil || shared != nil {
			t.Errorf("a key with %s is accepted", name)
		}
	}

	lowOrder := append(bytes.Clone(enc[:kemEncSize-32]), make([]byte, 32)...)
	if got, err := decapsulate(key, lowOrder, id); err == nil || got != nil {
		t.Error("an encapsulation with a point of low order is accepted")
	}
}

// Both ends derive the same ICE credentials (doc/protocol.md, section 6.7), which differ by role and session and are
// made of what ICE allows (RFC 8839, section 5.4).
func TestICECredentials(t *testing.T) {
	s := testSecret(t)
	seen := make(map[string]bool)
	for _, secret := range []*Secret{s, testSecret(t)} {
		for _, role := range []identity.Role{identity.Camera, identity.Viewer} {
			info := "peephole v1 bulk ice\x00" + string(rune(role))
			want, err := hkdf.Key(sha256.New, secret.key, nil, info, 30)
			if err != nil {
				t.Fatal(err)
			}
			fragment, password := secret.ICECredentials(role)
			if fragment != base64.StdEncoding.EncodeToString(want[:6]) || len(fragment) != 8 ||
				password != base64.StdEncoding.EncodeToString(want[6:]) || len(password) != 32 {
				t.Errorf("role %d: %q, %q", role, fragment, password)
			}
			seen[fragment], seen[password] = true, true
		}
	}

	if len(seen) != 8 {
		t.Errorf("%d different credentials of 8", len(seen))
	}
}
