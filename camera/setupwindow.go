package camera

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	// codeLife is how long one code is valid. A fresh one follows while the set-up window is open.
	codeLife = 10 * time.Minute

	// scannerPatience is how long a scanner that has begun may take for its last message. Then a fresh code follows.
	scannerPatience = 30 * time.Second

	// codePause is the wait before the next code after the relay refused one: it might refuse every code.
	codePause = time.Second

	// welcomeWait is how long the camera tries to tell a viewer that it is paired: a scanner waits no longer.
	welcomeWait = 10 * time.Second

	// roomEvery is how often a full disk is looked at again.
	roomEvery = 2 * time.Second
)

// openWindow pairs viewers until the set-up window closes.
func (c *Camera) openWindow(ctx context.Context) {
	if err := c.pairViewers(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Logger.Warn("pairing", "err", err)
	}
	c.cfg.OnClosed()
}

// pairViewers shows one code after the other until the set-up window closes. Each code makes one pair: a household
// pairs its devices one by one, until the roster is full.
func (c *Camera) pairViewers(ctx context.Context) error {
	window, cancel := context.WithTimeoutCause(ctx, c.cfg.PairWindow, ErrWindow)
	defer cancel()
	closes := clock.SinceBoot() + c.cfg.PairWindow // counts while the machine sleeps, too; the context's clock does not

	for {
		c.awaitRoom(window)
		if c.isFull() {
			return ErrFull
		}
		if clock.SinceBoot() > closes {
			return c.windowClosed(ErrWindow)
		}
		if err := c.offerCode(ctx, window); err != nil {
			return err
		}

		pause := time.NewTimer(codePause)
		select {
		case <-window.Done():
			pause.Stop()
			return c.windowClosed(context.Cause(window))
		case <-pause.C:
		}
	}
}

// windowClosed returns why, or nil for a camera that has an owner by now and needs no other.
func (c *Camera) windowClosed(why error) error {
	if c.Owned() {
		return nil
	}
	return why
}

// awaitRoom waits until a new pair could be saved, or the set-up window closes. Until then no code is shown, since it
// would come to nothing.
func (c *Camera) awaitRoom(window context.Context) {
	look := time.NewTicker(roomEvery)
	defer look.Stop()

	for told := false; ; told = true {
		err := c.store.CheckRoom()
		switch {
		case err == nil && told:
			c.cfg.Logger.Info("a new viewer can be saved again: pairing goes on")
		case err != nil && !told:
			c.cfg.Logger.Warn("no code is shown, since a new viewer could not be saved; pairing goes on by itself",
				"err", err)
		}

		if err == nil {
			return
		}

		select {
		case <-window.Done():
			return
		case <-look.C:
		}
	}
}

// offerCode shows one code until it has made a pair or is void.
func (c *Camera) offerCode(ctx, window context.Context) error {
	relay, url := c.relays.pairingRelay()
	displayer, err := pairing.NewDisplayer(c.self, identity.Camera, url, codeLife)
	if err != nil {
		return err
	}
	defer displayer.Forget()

	toUs, toScanner := displayer.Code().Rendezvous()
	inbox := make(chan signaling.Delivery, 8)
	stop := relay.Receive(signaling.Rendezvous(toUs.Read, toUs.Write), func(d signaling.Delivery) bool {
		select {
		case inbox <- d:
		default: // more than a rendezvous carries
		}
		return true
	})
	defer stop()

	outbox := signaling.Rendezvous(toScanner.Read, toScanner.Write)
	defer relay.Keep(outbox)()
	send := func(body []byte) error { return relay.Send(window, outbox, body, codeLife) }

	if window.Err() != nil {
		return nil
	}
	c.cfg.OnCode(displayer.Code())
	if err := send(displayer.Hello()); err != nil {
		return ignoreVoid(window, err)
	}

	pair, err := c.converse(window, displayer, inbox, send)
	if err != nil || pair == nil {
		return ignoreVoid(window, err)
	}
	return c.paired(ctx, relay, pair, displayer, outbox)
}

// converse answers the scanners of a code. It returns the pair that was made, or nil once the code is void: the set-up
// window has closed, the code has expired, or a scanner that began has not come back.
func (c *Camera) converse(
	window context.Context,
	displayer *pairing.Displayer,
	inbox <-chan signaling.Delivery,
	send func(body []byte) error,
) (*envelope.Pair, error) {
	expiry := time.NewTimer(codeLife)
	defer expiry.Stop()

	for {
		select {
		case <-window.Done():
			return nil, nil
		case <-expiry.C:
			return nil, nil
		case message := <-inbox:
			outcome := displayer.Handle(message.Body)
			c.reportRefusal(message, outcome.Refuse)
			if outcome.Reply != nil {
				if err := send(outcome.Reply); err != nil {
					return nil, err
				}
				if outcome.Refuse == nil {
					expiry.Reset(scannerPatience)
				}
			}

			if outcome.Pair != nil {
				return outcome.Pair, nil
			}
		}
	}
}

// reportRefusal tells the person that a pairing message was refused, if why is not nil.
func (c *Camera) reportRefusal(message signaling.Delivery, why error) {
	if why == nil {
		return
	}
	if errors.Is(why, pairing.ErrStrange) {
		message.Reject()
		c.alarm.count(Rejection{What: "pairing message", Err: why})
	}
	c.cfg.OnRefuse(why)
}

// paired commits the new pair, then tells the viewer, then leaves a message at the code that says it is used.
func (c *Camera) paired(
	ctx context.Context,
	relay *signaling.Client,
	pair *envelope.Pair,
	displayer *pairing.Displayer,
	outbox signaling.Mailbox,
) error {
	record := pairing.Record{Pair: pair, RelayURL: c.cfg.RelayURL, Name: c.cfg.Name, PairedAt: time.Now()}
	v, old, err := c.enroll(ctx, record)
	if err != nil {
		return c.unsaved(ctx, relay, displayer, outbox, err)
	}
	body, err := json.Marshal(struct {
		Name   string             `json:"name"`
		Relays *session.RelayList `json:"relays"`
	}{c.cfg.Name, c.relays.list()})
	if err != nil {
		return fmt.Errorf("encode welcome: %w", err)
	}

	telling, cancel := context.WithTimeout(ctx, welcomeWait)
	defer cancel()
	if err := v.welcome(telling, relay, body); err != nil {
		return c.revert(ctx, v, old, err)
	}
	if old != nil {
		old.remove()
	}

	c.cfg.OnPaired(pair.Peer.Fingerprint())

	// A courtesy: without it, a person who scans the code later would hear that nobody is there.
	if err := relay.Send(telling, outbox, displayer.Used(), codeLife); err != nil {
		c.cfg.Logger.Debug("mark code as used", "err", err)
	}
	return nil
}

// unsaved tells both people that a pair could not be saved. Neither end has it, and a fresh code follows.
func (c *Camera) unsaved(
	ctx context.Context,
	relay *signaling.Client,
	displayer *pairing.Displayer,
	outbox signaling.Mailbox,
	why error,
) error {
	c.cfg.OnRefuse(fmt.Errorf("the viewer could not be saved: %w", why))
	telling, cancel := context.WithTimeout(ctx, welcomeWait)
	defer cancel()
	if err := relay.Send(telling, outbox, displayer.Unsaved(), codeLife); err != nil {
		c.cfg.Logger.Debug("tell the scanner that it could not be saved", "err", err)
	}
	return nil
}

// revert undoes a pair whose viewer could not be told of it. Otherwise the camera would have an owner that cannot watch
// it, and would close its set-up window. An earlier pair with the same viewer is restored.
func (c *Camera) revert(ctx context.Context, v, old *viewer, why error) error {
	err := c.Remove(v.record.Pair.Peer.Fingerprint())
	if err == nil && old != nil {
		_, _, err = c.enroll(ctx, old.record)
	}
	if err != nil {
		return fmt.Errorf("take back pair: %w", errors.Join(err, why))
	}

	c.cfg.OnRefuse(fmt.Errorf("the viewer could not be told that it is paired: %w", why))
	return nil
}

// ignoreVoid returns nil for an error after which a fresh code may follow: the window has closed, or the relay refused.
func ignoreVoid(window context.Context, err error) error {
	var refusal *signaling.Error
	if window.Err() != nil || errors.As(err, &refusal) {
		return nil
	}
	return err
}
