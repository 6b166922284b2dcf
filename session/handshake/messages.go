package handshake

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

// ErrMalformed is returned for an offer, answer or record whose contents differ from what doc/protocol.md says.
var ErrMalformed = errors.New("malformed session message")

// maxSDP bounds a session description in bytes. A browser's has about 3,000 with two codecs.
const maxSDP = 24 << 10

// maxCarriers bounds the number of carriers that a viewer offers. Only two exist.
const maxCarriers = 8

// Blob is a byte string; in JSON it is base64url without padding (RFC 4648, section 5).
type Blob []byte

// MarshalText implements [encoding.TextMarshaler].
func (b Blob) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It refuses a second spelling of the same bytes.
func (b *Blob) UnmarshalText(text []byte) error {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("decode base64url: %w", err)
	}
	*b = decoded
	return nil
}

// randomBytes returns n random bytes.
func randomBytes(n int) Blob {
	b := make(Blob, n)
	rand.Read(b)
	return b
}

// TURN is what an end needs for an allocation on the relay that both ends of a session use. Where the relay is gone, it
// may name STUN servers alone, without credentials.
type TURN struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`

	// Region is the choice of the servers' region; nil if there was no choice.
	Region *region.Way `json:"region,omitempty"`
}

// ServerURLs returns the servers' URLs, or none if t is nil.
func (t *TURN) ServerURLs() []string {
	if t == nil {
		return nil
	}
	return t.URLs
}

// usable reports whether t is nil or within the bounds of a relay's grant.
func (t *TURN) usable() bool {
	return t == nil || (t.Region == nil || t.Region.Valid()) && signaling.CheckServers(t.URLs,
		signaling.Credentials{Username: t.Username, Credential: t.Credential}) == nil
}

// Offer is the body of an offer envelope, viewer to camera.
type Offer struct {
	Still     bool     `json:"still,omitempty"` // one picture by signaling alone; SDP and what belongs to it are absent
	Bulk      bool     `json:"bulk,omitempty"`  // what the camera offers, by QUIC; SDP and carriers are absent
	First     bool     `json:"first,omitempty"` // send the first picture behind the answer, while connecting
	SDP       string   `json:"sdp,omitempty"`
	KEM       Blob     `json:"kem"`                // X-Wing public key, used for this session only [1216]
	Random    Blob     `json:"random"`             // [32]
	Challenge Blob     `json:"challenge"`          // the first freshness challenge [8]
	Carriers  []string `json:"carriers,omitempty"` // what the viewer can play, best first
	TURN      *TURN    `json:"turn,omitempty"`
	RelayOnly bool     `json:"relay_only,omitempty"`
	Watch     Blob     `json:"watch,omitempty"` // [16]; see WatchID
	// [16], from the camera's refusal; it proves that this offer was made after it, whatever the clocks say
	Nonce Blob `json:"nonce,omitempty"`
	// [8], the version of the camera's host list that the viewer holds, zeros if it holds none; absent if it wants none
	LAN Blob `json:"lan,omitzero"`
	// [8], the version of the camera's relay list that the viewer holds, zeros if it holds none
	Relays Blob   `json:"relays,omitzero"`
	Agent  string `json:"agent,omitempty"`
}

// Answer is the body of an answer envelope, camera to viewer.
type Answer struct {
	SDP     string `json:"sdp,omitempty"`
	Enc     Blob   `json:"enc"`    // encapsulates to the offer's kem [1120]
	Random  Blob   `json:"random"` // [32]
	Carrier string `json:"carrier,omitempty"`
	Name    string `json:"name"`

	// the camera shows no address of its own, and wants no address of the viewer's
	RelayOnly bool `json:"relay_only,omitempty"`

	LAN    *HostList  `json:"lan,omitempty"`    // only if the offer asks for it, and holds none that will do
	Relays *RelayList `json:"relays,omitempty"` // only if the offer asks for it, and holds another
}

// Refusal says why a camera does not start a session. It is the body of a refuse envelope.
type Refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`

	// Nonce comes with ClockRefusal. The camera accepts an offer that repeats it, whatever the two clocks say.
	Nonce Blob `json:"nonce,omitempty"`
}

const (
	// ClockRefusal is the code of the refusal of an offer that may be old by the camera's clock.
	ClockRefusal = "clock"
	// NonceSize is the size of a nonce in bytes.
	NonceSize = 16
)

func (r *Refusal) Error() string { return printable.Text(r.Text) }

// ParseOffer reads the body of an offer envelope.
func ParseOffer(body []byte) (*Offer, error) {
	var o Offer
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("parse offer: %w", errors.Join(ErrMalformed, err))
	}

	wanted := o.asksForSession
	switch {
	case o.Still:
		wanted = o.asksForStill
	case o.Bulk:
		wanted = o.asksForBulk
	}
	if !o.hasKeys() || !o.hasIDs() || !wanted() {
		return nil, fmt.Errorf("parse offer: %w", ErrMalformed)
	}
	return &o, nil
}

// hasKeys reports whether the offer has everything that goes into a session secret, and a challenge.
func (o *Offer) hasKeys() bool {
	return len(o.KEM) == kemPublicSize && len(o.Random) == 32 && len(o.Challenge) == challengeSize
}

// hasIDs reports whether the optional ids of an offer have the right size if they are present.
func (o *Offer) hasIDs() bool {
	watch := len(o.Watch) == 0 || len(o.Watch) == len(WatchID{})
	nonce := len(o.Nonce) == 0 || len(o.Nonce) == NonceSize
	hosts := len(o.LAN) == 0 || len(o.LAN) == HostVersionSize
	relays := len(o.Relays) == 0 || len(o.Relays) == RelayVersionSize
	return watch && nonce && hosts && relays
}

// asksForStill reports whether the offer holds nothing that belongs to a connection.
func (o *Offer) asksForStill() bool {
	return !o.Bulk && o.asksForBulk() && o.TURN == nil
}

// asksForBulk reports whether the offer holds nothing that belongs to a picture.
func (o *Offer) asksForBulk() bool {
	return !o.First && o.SDP == "" && len(o.Carriers) == 0 && o.TURN.usable()
}

// described reports whether the offer describes a connection, so that the answer must too.
func (o *Offer) described() bool { return !o.Still && !o.Bulk }

// asksForSession reports whether the offer describes a connection within the bounds.
func (o *Offer) asksForSession() bool {
	described := len(o.SDP) > 0 && len(o.SDP) <= maxSDP
	playable := len(o.Carriers) > 0 && len(o.Carriers) <= maxCarriers
	return described && playable && o.TURN.usable()
}

// parseAnswer reads the answer to an offer, which describes a connection if the offer did.
func parseAnswer(body []byte, described bool) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("parse answer: %w", errors.Join(ErrMalformed, err))
	}
	if described != (a.SDP != "") || len(a.SDP) > maxSDP || len(a.Enc) != kemEncSize || len(a.Random) != 32 ||
		a.LAN != nil && !a.LAN.Valid() || a.Relays != nil && !a.Relays.Valid() {
		return nil, fmt.Errorf("parse answer: %w", ErrMalformed)
	}
	return &a, nil
}

// WatchID ties together all sessions in which one person watches. When a new session is connected, the camera ends the
// earlier ones, because they may run over a network that the device has left.
type WatchID [16]byte

// NewWatchID returns a random id.
func NewWatchID() WatchID { return WatchID(randomBytes(len(WatchID{}))) }
