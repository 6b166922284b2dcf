package handshake

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/crypto/sframe"
)

const (
	kemPublicSize = 1216 // X-Wing public key, bytes
	kemEncSize    = 1120 // X-Wing encapsulated key, bytes
	videoTrack    = 0
	stillTrack    = 2
)

// Secret is the session secret and what it is bound to (doc/protocol.md, section 6).
type Secret struct {
	key     []byte // 32 bytes
	id      envelope.SessionID
	camera  identity.Fingerprint
	viewer  identity.Fingerprint
	randomC []byte
}

// agreement is everything that goes into a session secret.
type agreement struct {
	pair         *envelope.Pair
	id           envelope.SessionID
	offerWire    []byte // the exact bytes that were carried
	answerWire   []byte // the exact bytes that were carried
	offerExport  envelope.Secret
	kemSecret    []byte
	viewerRandom []byte
	cameraRandom []byte
}

func (a agreement) secret() *Secret {
	o, w := sha256.Sum256(a.offerWire), sha256.Sum256(a.answerWire)
	transcript := label.Hash(label.SessionTranscript, o[:], w[:])
	ikm := slices.Concat(a.offerExport[:], a.kemSecret, a.viewerRandom, a.cameraRandom)
	context := append(a.id[:], transcript[:]...)

	return &Secret{
		key:     label.KDF(a.pair.Secret[:], ikm, label.SessionSecret, context, 32),
		id:      a.id,
		camera:  a.pair.Camera(),
		viewer:  a.pair.Viewer(),
		randomC: a.cameraRandom,
	}
}

// cameraBaseKey returns the SFrame base key of one of the camera's tracks. The camera's own randomness goes into it, so
// that even a session secret that somehow came up twice would never use the same key and counter twice.
func (s *Secret) cameraBaseKey(track byte) []byte {
	return label.KDF(s.randomC, s.key, label.SFrame, []byte{byte(identity.Camera), track}, 64)
}

// binding returns the SFrame metadata of a track. It binds frames to their camera, viewer, session and track.
func (s *Secret) binding(track byte) []byte {
	h := label.Hash(label.FrameBinding, s.camera[:], s.viewer[:], s.id[:], []byte{track})
	return h[:]
}

// kid returns the SFrame key id of a sender's track.
func kid(role identity.Role, track byte) uint64 {
	k := uint64(track) * 2
	if role == identity.Viewer {
		k++
	}
	return k
}

// frameSender returns the sender with which the camera seals the frames of a track.
func (s *Secret) frameSender(track byte) (*sframe.Sender, error) {
	sender, err := sframe.NewSender(s.cameraBaseKey(track), kid(identity.Camera, track))
	if err != nil {
		return nil, fmt.Errorf("make frame sender: %w", err)
	}
	return sender, nil
}

// frameReceiver returns the receiver with which the viewer opens the frames of a track.
func (s *Secret) frameReceiver(track byte) (*sframe.Receiver, error) {
	receiver, err := sframe.NewReceiver(s.cameraBaseKey(track), kid(identity.Camera, track))
	if err != nil {
		return nil, fmt.Errorf("make frame receiver: %w", err)
	}
	return receiver, nil
}

// ICECredentials returns the credentials of an end's ICE agent in a bulk session (RFC 8445, section 5.3): a username
// fragment of 8 characters and a password of 32. Neither travels.
func (s *Secret) ICECredentials(role identity.Role) (fragment, password string) {
	b := label.KDF(nil, s.key, label.BulkICE, []byte{byte(role)}, 30)
	return base64.StdEncoding.EncodeToString(b[:6]), base64.StdEncoding.EncodeToString(b[6:])
}

func kemInfo(id envelope.SessionID) []byte {
	return append([]byte(label.Prefix+string(label.SessionKEM)+"\x00"), id[:]...)
}

// encapsulate returns the answer's enc and the KEM secret that it carries to the holder of the offer's key.
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
