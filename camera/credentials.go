package camera

import (
	"crypto/tls"

	"github.com/peephole-cam/peephole/signaling"
)

// credentials are the camera's ticket for its relay, and whom it trusts for that relay.
type credentials struct {
	ticket []byte
	trust  *tls.Config
}

// SetCredentials replaces the Config's Ticket and TLS while the camera runs. Sessions go on; signaling reconnects if
// the ticket has changed. It must not be called twice at the same time.
func (c *Camera) SetCredentials(ticket []byte, trust *tls.Config) {
	trust = signaling.TrustAt(trust, c.clock.Now)
	old := c.credentials.Swap(&credentials{ticket, trust})
	for _, client := range c.relays.all() {
		client.Trust(trust)
	}
	c.signal.Readmit(old.ticket, ticket)
}
