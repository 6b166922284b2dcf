package session

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrMalformed is returned for an offer, answer or record whose contents are not as doc/protocol.md says.
var ErrMalformed = errors.New("malformed session message")

// maxSDP bounds a session description in bytes; a browser's with two codecs takes about 3,000.
const maxSDP = 24 << 10

// blob is a byte string, base64url without padding in JSON (RFC 4648, section 5).
type blob []byte

// MarshalText encodes b.
func (b blob) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText decodes text into b, strictly.
func (b *blob) UnmarshalText(text []byte) error {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("decode base64url: %w", err)
	}
	*b = decoded
	return nil
}

func fresh(n int) blob {
	b := make(blob, n)
	rand.Read(b)
	return b
}

// TURN is what an end needs to allocate on the relay that both ends of a session use.
type TURN struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// offer is the body of an offer envelope, viewer to camera.
type offer struct {
	Still     bool     `json:"still,omitempty"` // one picture by signaling alone: sdp and what belongs to it are absent
	First     bool     `json:"first,omitempty"` // the first picture behind the answer, beside the connection
	SDP       string   `json:"sdp,omitempty"`
	KEM       blob     `json:"kem"`                // X-Wing public key of this session alone [1216]
	Random    blob     `json:"random"`             // [32]
	Challenge blob     `json:"challenge"`          // the first freshness challenge [8]
	Carriers  []string `json:"carriers,omitempty"` // what the viewer can play, best first
	TURN      *TURN    `json:"turn,omitempty"`
	RelayOnly bool     `json:"relay_only,omitempty"`
	Watch     blob     `json:"watch,omitempty"` // [16]; see WatchID
	Agent     string   `json:"agent,omitempty"`
}

// answer is the body of an answer envelope, camera to viewer.
type answer struct {
	SDP     string `json:"sdp,omitempty"`
	Enc     blob   `json:"enc"`    // encapsulates to the offer's kem [1120]
	Random  blob   `json:"random"` // [32]
	Carrier string `json:"carrier,omitempty"`
	Name    string `json:"name"`

	RelayOnly bool `json:"relay_only,omitempty"` // the camera shows no address of its own, and wants none of the viewer's
}

// Refusal is why a camera does not start a session: the body of a refuse envelope.
type Refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (r *Refusal) Error() string { return Printable(r.Text) }

func parseOffer(body []byte) (*offer, error) {
	var o offer
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("parse offer: %w", errors.Join(ErrMalformed, err))
	}
	if len(o.KEM) != kemPublicSize || len(o.Random) != 32 || len(o.Challenge) != challengeSize {
		return nil, fmt.Errorf("parse offer: %w", ErrMalformed)
	}
	connects := len(o.SDP) > 0 && len(o.SDP) <= maxSDP && len(o.Carriers) > 0 && len(o.Carriers) <= 8 && (o.TURN == nil || len(o.TURN.URLs) <= 8)
	if len(o.Watch) != 0 && len(o.Watch) != len(WatchID{}) {
		return nil, fmt.Errorf("parse offer: %w", ErrMalformed)
	}
	asks := !o.First && o.SDP == "" && len(o.Carriers) == 0 && o.TURN == nil
	if o.Still && !asks || !o.Still && !connects {
		return nil, fmt.Errorf("parse offer: %w", ErrMalformed)
	}
	return &o, nil
}

// parseAnswer reads the answer to an offer of a still or of a connection.
func parseAnswer(body []byte, still bool) (*answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("parse answer: %w", errors.Join(ErrMalformed, err))
	}
	if still != (a.SDP == "") || len(a.SDP) > maxSDP || len(a.Enc) != kemEncSize || len(a.Random) != 32 {
		return nil, fmt.Errorf("parse answer: %w", ErrMalformed)
	}
	return &a, nil
}
