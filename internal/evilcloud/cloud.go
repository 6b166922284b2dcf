package evilcloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where the cloud is. The zero value is one node on a free port of this machine.
type Config struct {
	// Signaling and TURN are the nodes' addresses, one each; port 0 is any. They stay the same over restarts.
	Signaling, TURN []string
	Logger          *slog.Logger `json:"-"` // of the relay itself; none if nil
}

// Counts is what the cloud has done so far.
type Counts struct {
	Deliveries int64 // messages given to mailboxes
	Crossed    int64 // of those, to another household's mailbox
	Packets    int64 // of TURN to its clients
	Misrouted  int64 // of those, to another household's socket
}

// Cloud is a relay that can be made to fail.
type Cloud struct {
	delivery *delivery
	nodes    []*node
	turn     atomic.Int32 // Traffic
	counts   struct{ packets, misrouted atomic.Int64 }

	restarts chan restart
}

type restart struct {
	down time.Duration
	done chan error
}

// New takes the ports; Run serves.
func New(cfg Config) (*Cloud, error) {
	if len(cfg.Signaling) == 0 {
		cfg.Signaling, cfg.TURN = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	}
	if len(cfg.Signaling) != len(cfg.TURN) {
		return nil, errors.New("make cloud: a node has one address for signaling and one for TURN")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cloud{delivery: newDelivery(), restarts: make(chan restart)}
	for i := range cfg.Signaling {
		n, err := newNode(c, cfg.Signaling[i], cfg.TURN[i], cfg.Logger)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

func (c *Cloud) close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// URLs are the nodes' relay URLs.
func (c *Cloud) URLs() (urls []string) {
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	return urls
}

// Addresses are the nodes' addresses, as Config takes them: for a cloud that comes back in the same place.
func (c *Cloud) Addresses() (signaling, turn []string) {
	for _, n := range c.nodes {
		signaling, turn = append(signaling, n.signalingAt), append(turn, n.turnAt)
	}
	return signaling, turn
}

// Run serves until ctx ends.
func (c *Cloud) Run(ctx context.Context) error {
	for {
		running, cancel := context.WithCancel(ctx)
		ended := make(chan error, len(c.nodes))
		var work sync.WaitGroup
		for _, n := range c.nodes {
			work.Go(func() {
				if err := n.run(running); err != nil {
					ended <- fmt.Errorf("serve %s: %w", n.url, err)
				}
			})
		}
		var err error
		var again *restart
		select {
		case <-ctx.Done():
		case err = <-ended:
		case r := <-c.restarts:
			again = &r
		}
		cancel()
		work.Wait()
		if again == nil {
			return err
		}
		err = c.comeBack(ctx, again.down)
		again.done <- err
		if err != nil {
			return err
		}
	}
}

// comeBack makes every node anew, where it was: it knows nothing any more.
func (c *Cloud) comeBack(ctx context.Context, down time.Duration) error {
	away := time.NewTimer(down)
	defer away.Stop()
	select {
	case <-away.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, n := range c.nodes {
		if err := n.open(); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	return nil
}

// Restart stops all nodes and brings them back after a while with nothing of what they held: no mailbox, no message, no
// allocation, no key. It returns when they serve again.
func (c *Cloud) Restart(ctx context.Context, down time.Duration) error {
	r := restart{down, make(chan error, 1)}
	select {
	case c.restarts <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetDelivery changes what happens to messages from now on.
func (c *Cloud) SetDelivery(d Delivery) { c.delivery.set(d) }

// SetTraffic changes what happens to TURN's packets from now on.
func (c *Cloud) SetTraffic(t Traffic) { c.turn.Store(int32(t)) }

// Heal ends every fault.
func (c *Cloud) Heal() {
	c.SetDelivery(nil)
	c.SetTraffic(StraightOn)
}

// Counts is what has happened since New.
func (c *Cloud) Counts() Counts {
	return Counts{
		Deliveries: c.delivery.deliveries.Load(), Crossed: c.delivery.crossed.Load(),
		Packets: c.counts.packets.Load(), Misrouted: c.counts.misrouted.Load(),
	}
}
