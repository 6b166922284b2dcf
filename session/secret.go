package session

import (
	"crypto/hpke"
	"crypto/sha256"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

const (
	kemPublicSize = 1216 // X-Wing public key, bytes
	kemEncSize    = 1120 // X-Wing encapsulated key, bytes
	videoTrack    = 0
	stillTrack    = 2
)

// secret is the session secret and what it is bound to (doc/protocol.md, section 6).
type secret struct {
	key     []byte // 32 bytes
	id      envelope.SessionID
	camera  identity.Fingerprint
	viewer  identity.Fingerprint
	randomC []byte
}

// agreement gathers what goes into a session secret.
type agreement struct {
	pair                     *envelope.Pair
	id                       envelope.SessionID
	offerWire, answerWire    []byte // the exact bytes carried
	offerExport              envelope.Secret
	kemSecret                []byte
	viewerRandom, cameraRand []byte
}

func (a agreement) secret() *secret {
	o, w := sha256.Sum256(a.offerWire), sha256.Sum256(a.answerWire)
	transcript := label.Hash(label.SessionTranscript, o[:], w[:])
	ikm := append(append(append(append([]byte{}, a.offerExport[:]...), a.kemSecret...), a.viewerRandom...), a.cameraRand...)
	context := append(a.id[:], transcript[:]...)
	return &secret{
		key:     label.KDF(a.pair.Secret[:], ikm, label.SessionSecret, context, 32),
		id:      a.id,
		camera:  a.pair.Camera(),
		viewer:  a.pair.Viewer(),
		randomC: a.cameraRand,
	}
}

// cameraBaseKey is the SFrame base key of the camera's track; the camera's own randomness goes into it, so
// that a session secret which somehow came to stand twice still never gives the same key and counter twice.
func (s *secret) cameraBaseKey(track byte) []byte {
	return label.KDF(s.randomC, s.key, label.SFrame, []byte{byte(identity.Camera), track}, 64)
}

// binding is the SFrame metadata of a track: whose frames these are, for whom, and of which session.
func (s *secret) binding(track byte) []byte {
	h := label.Hash(label.FrameBinding, s.camera[:], s.viewer[:], s.id[:], []byte{track})
	return h[:]
}

// kid is the SFrame key id of a sender's track.
func kid(role identity.Role, track byte) uint64 {
	k := uint64(track) * 2
	if role == identity.Viewer {
		k++
	}
	return k
}

func kemInfo(id envelope.SessionID) []byte {
	return append([]byte(label.Prefix+string(label.SessionKEM)+"\x00"), id[:]...)
}

// encapsulate makes the answer's enc and the KEM secret it carries, to the offer's key.
func encapsulate(public []byte, id envelope.SessionID) (enc, shared []byte, err error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		return nil, nil, fmt.Errorf("read session key: %w", err)
	}
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.ExportOnly(), kemInfo(id))
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulate to session key: %w", err)
	}
	shared, err = sender.Export(label.Prefix+string(label.SessionKEM), 32)
	return enc, shared, err
}

func decapsulate(private hpke.PrivateKey, enc []byte, id envelope.SessionID) ([]byte, error) {
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), kemInfo(id))
	if err != nil {
		return nil, fmt.Errorf("decapsulate session key: %w", err)
	}
	return recipient.Export(label.Prefix+string(label.SessionKEM), 32)
}
