package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// Idle is how long an idle connection must last: devices send something every 20 s.
const Idle = 21 * time.Second

// checkSignaling tells whether WebSocket reaches the relay and stays connected, as signaling needs it.
func (c *contact) checkSignaling(ctx context.Context) Finding {
	f := Finding{Check: "signaling", Relay: c.name}
	if c.err != nil {
		return f.conclude(Unknown, "", "not tested: it needs HTTPS, which does not get through")
	}

	err := signaling.CheckRelay(ctx, c.URL, c.Trust, c.Idle)
	var cut *signaling.IdleCutError
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil && c.Idle == 0:
		return f.conclude(OK, "yes", "WebSocket gets through")
	case err == nil:
		return f.conclude(OK, "yes",
			fmt.Sprintf("WebSocket gets through, and stays open when idle for %.0f s", c.Idle.Seconds()))
	case errors.As(err, &certificate):
		return f.conclude(Bad, "certificate", "the relay's certificate is not trusted here: see certificate")
	case errors.Is(err, signaling.ErrUpgradeDropped):
		return f.conclude(Bad, "upgrade", err.Error())
	case errors.Is(err, signaling.ErrHeldBack):
		return f.conclude(Bad, "held back", err.Error())
	case errors.As(err, &cut):
		return f.conclude(Bad, "cut", cut.Error())
	}
	return f.conclude(Bad, "no", "WebSocket does not get through: "+err.Error())
}
