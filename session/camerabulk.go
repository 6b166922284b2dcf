package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
)

// BulkRefusal is the code with which a camera refuses a bulk session because it offers nothing.
const BulkRefusal = "no_bulk"

// ErrNothingOffered is returned by a camera that offers nothing to fetch.
var ErrNothingOffered = errors.New("this camera offers nothing to fetch")

// maxBulkWaiting bounds the messages of a bulk session that wait to be read: all candidates, and as much again.
const maxBulkWaiting = 2 * outboxSize

// serveBulk answers the offer of a bulk session, and serves what the camera offers until ctx ends or the viewer leaves.
func (c *Camera) serveBulk(ctx context.Context) error {
	if c.cfg.Offered == nil {
		refusal := handshake.Refusal{Code: BulkRefusal, Text: "This camera offers nothing to fetch."}
		return errors.Join(ErrNothingOffered, Refuse(ctx, c.cfg, refusal))
	}
	wire, secret, err := c.cfg.received().Answer(c.offer, handshake.Answer{
		Name:      c.cfg.Name,
		RelayOnly: c.cfg.RelayOnly,
		LAN:       c.hostList(),
		Relays:    c.relayList(),
	})
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived := make(chan signaling.Delivery, maxBulkWaiting)
	end, err := newBulkEnd(ctx, c.bulkConfig(secret, arrived))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOffer, err)
	}
	defer receiveInto(ctx, c.cfg.Signal, admitted(c.in, c.cfg.Ticket), arrived)()
	c.outbox.open(ctx)
	c.outbox.post(wire)

	err = end.run(ctx, cancel, nil)
	c.outbox.close(end.byeRecord(err, c.cfg.Logger))
	if errors.Is(err, errLeft) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (c *Camera) bulkConfig(secret *handshake.Secret, arrived <-chan signaling.Delivery) bulkConfig {
	return bulkConfig{
		role:   identity.Camera,
		secret: secret,
		peer: peerConfig{
			turn:      c.offer.TURN,
			trust:     c.cfg.TLS,
			relayOnly: c.hides(),
			loopback:  c.cfg.Loopback,
			network:   c.cfg.network,
			log:       c.cfg.Logger,
		},
		ports:   portMapper(c.cfg.PortMapper, c.cfg.SeenAs, c.offer.TURN),
		outbox:  c.outbox,
		arrived: arrived,
		foreign: func(d signaling.Delivery, err error) {
			if c.reject(err) {
				d.Reject()
			}
		},
		use: func(ctx context.Context, conn BulkConn) error {
			return conn.Serve(ctx, c.cfg.Offered, c.cfg.Busy)
		},
	}
}

// receiveInto hands what arrives in a mailbox to a channel until ctx ends. If the channel is full, a message waits at
// the relay.
func receiveInto(ctx context.Context, s Signal, from signaling.Mailbox, to chan<- signaling.Delivery) (stop func()) {
	return s.Receive(from, func(d signaling.Delivery) bool {
		if ctx.Err() != nil {
			return false
		}
		select {
		case to <- d:
			return true
		default:
			return false
		}
	})
}
