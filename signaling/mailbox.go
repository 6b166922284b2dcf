package signaling

import "crypto/ed25519"

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
