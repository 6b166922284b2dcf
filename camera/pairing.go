package camera

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// pairingLife is how long one code is good; a fresh one follows while the set-up window is open.
const pairingLife = 10 * time.Minute

// boundPatience is how long a scanner that began has for its last message, before the code is given up for a fresh one.
const boundPatience = 30 * time.Second

// codePause keeps a relay that refuses every code from being asked for the next one at once.
const codePause = time.Second

// pairing shows one code after the other until the set-up window closes. Each code makes one pair; a household pairs its
// devices one after the other.
func (c *Camera) pairing(ctx context.Context) error {
	window, cancel := context.WithTimeoutCause(ctx, c.cfg.PairWindow, ErrWindow)
	defer cancel()
	for {
		if err := c.offerCode(ctx, window); err != nil {
			return err
		}
		pause := time.NewTimer(codePause)
		select {
		case <-window.Done():
			pause.Stop()
			if c.Owned() {
				return nil
			}
			return context.Cause(window)
		case <-pause.C:
		}
	}
}

// offerCode shows one code until it has made a pair, or is void.
func (c *Camera) offerCode(ctx, window context.Context) error {
	displayer, err := pairing.NewDisplayer(c.self, identity.Camera, c.cfg.RelayURL, pairingLife)
	if err != nil {
		return err
	}
	defer displayer.Forget()
	toUs, toScanner := displayer.Code().Rendezvous()
	inbox := make(chan signaling.Delivery, 8)
	stop := c.client.Receive(rendezvous(toUs), func(d signaling.Delivery) bool {
		select {
		case inbox <- d:
		default: // more than a rendezvous carries
		}
		return true
	})
	defer stop()
	outbox := rendezvous(toScanner)
	defer c.client.Keep(outbox)()
	c.cfg.OnCode(displayer.Code())
	if err := c.client.Send(window, outbox, displayer.Hello(), pairingLife); err != nil {
		return quiet(window, err)
	}
	expiry := time.NewTimer(pairingLife)
	defer expiry.Stop()
	for {
		select {
		case <-window.Done():
			return nil
		case <-expiry.C:
			return nil
		case message := <-inbox:
			outcome := displayer.Handle(message.Body)
			if errors.Is(outcome.Refuse, pairing.ErrStrange) {
				message.Reject()
				c.alarm.add(session.Rejection{What: "pairing message", Err: outcome.Refuse})
			}
			if outcome.Refuse != nil && c.cfg.OnRefuse != nil {
				c.cfg.OnRefuse(outcome.Refuse)
			}
			if outcome.Reply != nil {
				if err := c.client.Send(window, outbox, outcome.Reply, pairingLife); err != nil {
					return quiet(window, err)
				}
				if outcome.Refuse == nil {
					expiry.Reset(boundPatience)
				}
			}
			if outcome.Pair != nil {
				return c.paired(ctx, outcome.Pair, displayer, outbox)
			}
		}
	}
}

// welcomeWait is how long the camera tries to tell a viewer that it is paired: a scanner waits no longer.
const welcomeWait = 10 * time.Second

// paired commits the new pair, then tells the viewer, then leaves word at the code that it is used.
func (c *Camera) paired(ctx context.Context, pair *envelope.Pair, displayer *pairing.Displayer, outbox signaling.Mailbox) error {
	v, old, err := c.add(ctx, pairing.Record{Pair: pair, RelayURL: c.cfg.RelayURL, Name: c.cfg.Name, PairedAt: time.Now()})
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Name string `json:"name"`
	}{c.cfg.Name})
	if err != nil {
		return fmt.Errorf("encode welcome: %w", err)
	}
	telling, cancel := context.WithTimeout(ctx, welcomeWait)
	defer cancel()
	if err := v.welcome(telling, body); err != nil {
		return c.takeBack(ctx, v, old, err)
	}
	c.cfg.OnPaired(pair.Peer.Fingerprint().Short())
	if err := c.client.Send(telling, outbox, displayer.Used(), pairingLife); err != nil {
		c.cfg.Logger.Debug("mark code as used", "err", err) // a courtesy: whoever reads the code later hears that nobody is there
	}
	return nil
}

// takeBack ends a pair that its viewer was not told of, lest this camera have an owner that cannot watch it and closes its set-up
// window. An earlier pair with the same viewer goes on.
func (c *Camera) takeBack(ctx context.Context, v, old *viewer, why error) error {
	err := c.Remove(v.record.Pair.Peer.Fingerprint())
	if err == nil && old != nil {
		_, _, err = c.add(ctx, old.record)
	}
	if err != nil {
		return fmt.Errorf("take back pair: %w", errors.Join(err, why))
	}
	if c.cfg.OnRefuse != nil {
		c.cfg.OnRefuse(fmt.Errorf("the viewer could not be told that it is paired: %w", why))
	}
	return nil
}

// quiet is nil for an error that only means that the window has closed. A relay's refusal voids the code, no more.
func quiet(window context.Context, err error) error {
	var refusal *signaling.Error
	if window.Err() != nil || errors.As(err, &refusal) {
		return nil
	}
	return err
}

func rendezvous(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: []byte(signaling.PairingTicket)}
}
