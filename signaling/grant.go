package signaling

import (
	"encoding/json"
	"errors"
	"slices"
)

// Credentials are one end's credentials for the relay's TURN server.
type Credentials struct {
	Username   string `json:"username"`
	Credential string `json:"credential"`
}

// Grant gives both ends access to one TURN server, for one session.
type Grant struct {
	Region string      `json:"region,omitempty"` // the server's, if it is not the relay's own
	URLs   []string    `json:"urls"`
	TTL    int         `json:"ttl"` // seconds
	Viewer Credentials `json:"viewer"`
	Camera Credentials `json:"camera"`
}

const (
	// maxServers bounds the ICE servers of a session.
	maxServers = 8
	// maxServerURL bounds the length of an ICE server's URL in bytes. A host name has at most 253.
	maxServerURL = 300
	// maxCredential bounds the length of a TURN username, and of its password, in bytes (RFC 8656, section 18).
	maxCredential = 508
)

// ErrServers is returned for too many ICE servers, or for URLs or credentials that are too long.
var ErrServers = errors.New("too many ICE servers, or too long")

// CheckServers returns nil for ICE servers that a session may use. They may come from a relay's grant or from a
// viewer's offer.
func CheckServers(urls []string, c Credentials) error {
	long := func(u string) bool { return len(u) > maxServerURL }
	if len(urls) > maxServers || slices.ContainsFunc(urls, long) {
		return ErrServers
	}
	if len(c.Username) > maxCredential || len(c.Credential) > maxCredential {
		return ErrServers
	}
	return nil
}

// parseGrant parses a relay's grant. Every error is ErrFrame.
func parseGrant(text []byte) (Grant, error) {
	var g Grant
	if json.Unmarshal(text, &g) != nil {
		return Grant{}, ErrFrame
	}
	if CheckServers(g.URLs, g.Viewer) != nil || CheckServers(g.URLs, g.Camera) != nil {
		return Grant{}, ErrFrame
	}
	return g, nil
}
