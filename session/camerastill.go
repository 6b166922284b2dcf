package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
)

// stillWait is how long a camera waits for a picture before it says why there is none. The person should learn the
// reason within 2 s.
const stillWait = 1500 * time.Millisecond

// StillRefusal is the code with which a camera refuses when it has no picture that it can send by signaling. Watching
// may still show one.
const StillRefusal = "no_still"

var (
	// ErrNoPicture is returned by a camera that has no keyframe to send.
	ErrNoPicture = errors.New("the camera has no picture now")
	// ErrStillSize is returned by a camera whose picture does not fit into a relay's mailbox.
	ErrStillSize = errors.New("the picture is too large for a still: watch instead")
)

// sendStill answers a request for a still. It gets the picture first, because it refuses if there is none.
func (c *Camera) sendStill(ctx context.Context) error {
	looking, cancel := context.WithTimeout(ctx, stillWait)
	defer cancel()
	subscription := c.cfg.Stream.Subscribe()
	unit, err := subscription.Next(looking)
	if err == nil && unit.Captured.Age() > handshake.LiveFor {
		unit = newest(unit, subscription)
	}

	subscription.Close()
	if err != nil {
		return c.refuseStill(ctx, errors.Join(ErrNoPicture, err))
	}
	if len(unit.Data) > handshake.MaxStill {
		return c.refuseStill(ctx, ErrStillSize)
	}

	wire, secret, err := c.cfg.received().Answer(c.offer, handshake.Answer{
		Name:   c.cfg.Name,
		LAN:    c.hostList(),
		Relays: c.relayList(),
	})
	if err != nil {
		return err
	}
	pieces, err := secret.SealStill(unit, c.offer.Challenge)
	if err != nil {
		return err
	}
	return c.sendAll(ctx, append([][]byte{wire}, pieces...))
}

// sendAll sends messages to the session's mailbox, and waits until the relay has them.
func (c *Camera) sendAll(ctx context.Context, bodies [][]byte) error {
	queue := make(chan signaling.Outgoing, len(bodies))
	for _, body := range bodies {
		queue <- signaling.Outgoing{Body: body}
	}
	close(queue)
	sending, stop := context.WithTimeout(ctx, messageTTL)
	defer stop()

	var refused error
	err := c.cfg.Signal.SendAll(sending, admitted(c.out, c.cfg.Ticket), queue, messageTTL, func(refusal error) {
		refused = errors.Join(refused, refusal)
	})
	if err = errors.Join(err, refused); err != nil {
		return fmt.Errorf("send still: %w", err)
	}
	return nil
}

// newest returns the newest picture of the group that begins with keyframe and waits in s, together with everything
// that a decoder needs for it. The camera sees that picture now, although its keyframe may be old.
func newest(keyframe media.AccessUnit, s *media.Subscription) media.AccessUnit {
	group := keyframe
	group.Data = bytes.Clone(keyframe.Data) // other subscribers share it
	for unit, ok := s.Waiting(); ok; unit, ok = s.Waiting() {
		if unit.Keyframe {
			group.Data = nil
		}
		group.Data = append(group.Data, unit.Data...)
		group.Captured = unit.Captured
	}

	return group
}

// postFirst posts the current keyframe behind the answer, if it is live and small. So the person sees a picture after
// one round trip, although the connection takes several more.
func (c *Camera) postFirst(s *handshake.Secret) error {
	subscription := c.cfg.Stream.Subscribe()
	defer subscription.Close()
	unit, ok := subscription.Waiting()
	if !ok || len(unit.Data) > handshake.MaxFirstPicture || unit.Captured.Age() > handshake.LiveFor {
		return nil
	}

	pieces, err := s.SealStill(unit, c.offer.Challenge)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		c.outbox.post(p)
	}

	return nil
}

func (c *Camera) refuseStill(ctx context.Context, why error) error {
	state := c.cfg.Stream.State()
	text := "The camera has no picture now."
	if errors.Is(why, ErrStillSize) {
		text = "The picture is too large for a still: watch instead."
	} else if !state.Live {
		text += " " + state.String()
	} else if state.Joining != "" {
		text = "There is no picture so far: " + state.Joining + "."
	}

	return errors.Join(why, Refuse(ctx, c.cfg, handshake.Refusal{Code: StillRefusal, Text: text}))
}
