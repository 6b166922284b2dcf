package session

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// answer seals and posts the answer, and makes the session secret from it.
func (c *Camera) answer() error {
	description, err := c.peer.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("create answer: %w", err)
	}
	if err := c.peer.pc.SetLocalDescription(description); err != nil {
		return fmt.Errorf("set local description: %w", err)
	}
	wire, secret, err := reply(c.cfg, c.offer, answer{SDP: description.SDP, Carrier: c.carrier.String(), RelayOnly: c.cfg.RelayOnly})
	if err != nil {
		return err
	}
	if err := c.sender.seal(secret, c.offer.Challenge); err != nil {
		return err
	}
	c.records = secret.recordKeys(envelope.ToViewer)
	c.outbox.post(wire)
	if c.offer.First {
		return c.postFirst(secret)
	}
	return nil
}

// Refuse tells a viewer why there is no session.
func Refuse(ctx context.Context, cfg CameraConfig, why Refusal) error {
	body, err := json.Marshal(why)
	if err != nil {
		return fmt.Errorf("encode refusal: %w", err)
	}
	out := cfg.Pair.SessionMailbox(envelope.ToViewer, cfg.Offer.Session)
	wire, err := sealReply(cfg, envelope.TypeRefuse, body)
	if err != nil {
		return err
	}
	return cfg.Signal.Send(ctx, admitted(out, cfg.Ticket), wire, messageTTL)
}
