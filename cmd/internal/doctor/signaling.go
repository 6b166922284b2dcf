package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
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

// checkWebTransport checks whether signaling over HTTP/3 gets through. It is no fault if it does not.
func (c *contact) checkWebTransport(ctx context.Context) Finding {
	f := Finding{Check: "http/3", Relay: c.name}
	if c.err != nil {
		return f.conclude(Unknown, "", "not tested: it needs HTTPS, which does not get through")
	}
	if strings.HasPrefix(c.URL, "http:") {
		return f.conclude(OK, "no", "there is none without TLS; signaling goes over WebSocket")
	}

	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	return judgeWebTransport(f, signaling.CheckWebTransport(ctx, c.URL, c.Trust))
}

func judgeWebTransport(f Finding, err error) Finding {
	if err != nil {
		return f.conclude(OK, "no", "it does not get through, or the relay does not offer it; signaling goes over "+
			"WebSocket, which takes a round trip more to connect")
	}
	return f.conclude(OK, "yes", "it gets through, so viewers connect a round trip sooner")
}
