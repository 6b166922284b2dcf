package signaling

import (
	"crypto/ed25519"
	"encoding/json"
)

// Mailbox is the keys of a mailbox; both ends of a pair can derive both.
type Mailbox struct {
	Read, Write ed25519.PrivateKey
	Ticket      []byte // admits the mailbox; only its owner has one
}

// Name names the mailbox.
func (m Mailbox) Name() Name {
	return NameOf(m.Read.Public().(ed25519.PublicKey), m.Write.Public().(ed25519.PublicKey))
}

// Credentials are one end's for the relay's TURN server.
type Credentials struct {
	Username   string `json:"username"`
	Credential string `json:"credential"`
}

// Grant is both ends' access to the relay's TURN server, for one session.
type Grant struct {
	URLs   []string    `json:"urls"`
	TTL    int         `json:"ttl"` // seconds
	Viewer Credentials `json:"viewer"`
	Camera Credentials `json:"camera"`
}

// maxURLs bounds a grant's ICE servers.
const maxURLs = 8

// parseGrant reads a relay's grant.
func parseGrant(text []byte) (Grant, error) {
	var g Grant
	if json.Unmarshal(text, &g) != nil || len(g.URLs) > maxURLs {
		return Grant{}, ErrFrame
	}
	return g, nil
}
