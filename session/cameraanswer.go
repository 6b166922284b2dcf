package session

import (
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
)

// answer seals and posts the answer. From then on both ends share the secret under which frames and records are sealed.
func (c *Camera) answer() error {
	description, err := c.peer.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("create answer: %w", err)
	}
	if err := c.peer.pc.SetLocalDescription(description); err != nil {
		return fmt.Errorf("set local description: %w", err)
	}

	wire, secret, err := c.cfg.received().Answer(c.offer, handshake.Answer{
		SDP:       description.SDP,
		Carrier:   c.carrier.String(),
		Name:      c.cfg.Name,
		RelayOnly: c.cfg.RelayOnly,
		LAN:       c.hostList(),
		Relays:    c.relayList(),
	})
	if err != nil {
		return err
	}

	sealer, err := secret.NewFrameSealer(c.offer.Challenge)
	if err != nil {
		return err
	}
	c.sender.SealWith(sealer)
	c.records = secret.RecordKeys(envelope.ToViewer)
	c.outbox.post(wire)
	if c.offer.First {
		return c.postFirst(secret)
	}
	return nil
}
