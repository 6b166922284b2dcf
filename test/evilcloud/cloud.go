package evilcloud

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Config says where the cloud is, and how much of it can fail. The zero value is one honest node on an ephemeral port
// of this machine.
type Config struct {
	// Signaling and TURN are the nodes' addresses, one each; port 0 is any. They survive restarts.
	Signaling, TURN []string

	Tickets bool // mailboxes need a ticket; see Ticket
	// Middle puts a proxy between clients and signaling, for SetFrames and HangUp. It costs a second connection for
	// each client.
	Middle bool
	Now    func() time.Time `json:"-"` // what the nodes' clocks show; nil: time.Now
	// Remember is how many posted messages are kept, for Posted, Replayed and Dump. The last debug logs are kept, too:
	// half as many kB.
	Remember int

	Logger *slog.Logger `json:"-"` // of the relay itself; nil: none
	// Tape gets everything that sockets receive and send, with clients' frames unmasked, and everything that is logged
	// at debug level.
	Tape io.Writer `json:"-"`
}

// Counts is what the cloud has done so far.
type Counts struct {
	Deliveries int64 // messages delivered to mailboxes
	Crossed    int64 // messages that reached another mailbox than the one they were posted to
	Changed    int64 // messages that reached their mailbox changed
	Repeated   int64 // messages that were delivered to their mailbox more than once
	Late       int64 // messages that were delayed
	Frames     int64 // frames of signaling that were not forwarded unchanged
	Grants     int64 // grants of ICE servers that were changed
	Pages      int64 // responses of the web page that a fault changed
	Packets    int64 // packets of TURN to its clients
	Misrouted  int64 // how many of those went to another client's socket
	Maps       int64 // how often the map of regions was asked for
}

// Cloud is a relay that can be made to fail.
type Cloud struct {
	cfg      Config
	operator ed25519.PrivateKey
	log      logs
	delivery *delivery
	middle   *middle
	office   *office
	pages    cache
	regions  atomic.Pointer[[]byte]
	nodes    []*node
	turn     atomic.Int32 // a Traffic
	counts   struct{ packets, misrouted, maps atomic.Int64 }

	restarts chan restart

	mu sync.Mutex // guards the nodes' secrets
}

type restart struct {
	down time.Duration
	done chan error
}

// New reserves the ports; Run serves.
func New(cfg Config) (*Cloud, error) {
	if len(cfg.Signaling) == 0 {
		cfg.Signaling, cfg.TURN = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	}
	if len(cfg.Signaling) != len(cfg.TURN) {
		return nil, errors.New("make cloud: a node has one address for signaling and one for TURN")
	}

	_, operator, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make cloud: %w", err)
	}
	c := &Cloud{
		cfg:      cfg,
		operator: operator,
		log:      logs{size: cfg.Remember * 512},
		delivery: newDelivery(cfg.Remember),
		middle:   newMiddle(),
		office:   newOffice(),
		restarts: make(chan restart),
	}

	c.delivery.middle, c.middle.delivery = cfg.Middle, c.delivery
	for i := range cfg.Signaling {
		n, err := newNode(c, i)
		if err != nil {
			return nil, errors.Join(err, c.close(), c.giveUp())
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

// giveUp ends the reservation of the nodes' ports.
func (c *Cloud) giveUp() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.giveUp())
	}
	return errors.Join(errs...)
}

// URLs returns the nodes' relay URLs.
func (c *Cloud) URLs() (urls []string) {
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	return urls
}

// Addresses returns the nodes' addresses, as Config takes them: for a cloud that comes back in the same place.
func (c *Cloud) Addresses() (signaling, turn []string) {
	for _, n := range c.nodes {
		signaling, turn = append(signaling, n.signalingAt), append(turn, n.turnAt)
	}
	return signaling, turn
}

// Run serves until ctx ends. It keeps its ports over restarts.
func (c *Cloud) Run(ctx context.Context) error {
	err := c.serve(ctx)
	return errors.Join(err, c.giveUp())
}

func (c *Cloud) serve(ctx context.Context) error {
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

// comeBack makes every node anew at its old address, with no memory of what it held.
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

// SetFrames changes what happens to signaling's frames from now on. It needs Config.Middle.
func (c *Cloud) SetFrames(f Frames) {
	if f != nil && !c.cfg.Middle {
		panic("evilcloud: a fault of frames needs somebody in the middle")
	}
	c.middle.set(f)
}

// SetGrants changes what is granted from now on.
func (c *Cloud) SetGrants(g Grants) { c.office.set(g) }

// SetRegions makes all nodes serve a map of regions, right or wrong; nil: none.
func (c *Cloud) SetRegions(wire []byte) { c.regions.Store(&wire) }

// SetPages changes what is served as the web page from now on.
func (c *Cloud) SetPages(p Pages) { c.pages.fault.Store(int32(p)) }

// HangUp ends every connection of signaling; clients connect again by themselves. It needs Config.Middle.
func (c *Cloud) HangUp() { c.middle.hangUp() }

// Posted returns what has been posted, the oldest first, as far as Config.Remember goes.
func (c *Cloud) Posted() []Posted { return c.delivery.recorded() }

// Deliver delivers a message that nobody posted.
func (c *Cloud) Deliver(name [32]byte, body []byte) (receivers int) {
	return c.delivery.Local.Publish(name, bus.Message{Seq: rand.Uint64(), Body: body})
}

// Heal ends every fault.
func (c *Cloud) Heal() {
	c.SetDelivery(nil)
	c.SetTraffic(StraightOn)
	c.SetFrames(nil)
	c.SetGrants(nil)
	c.SetPages(RightPages)
}

// Counts returns what has happened since New.
func (c *Cloud) Counts() Counts {
	d := c.delivery
	return Counts{
		Deliveries: d.deliveries.Load(),
		Crossed:    d.crossed.Load(),
		Changed:    d.changed.Load(),
		Repeated:   d.repeated.Load(),
		Late:       d.late.Load(),
		Frames:     c.middle.changed.Load(),
		Grants:     c.office.changed.Load(),
		Pages:      c.pages.served.Load(),
		Packets:    c.counts.packets.Load(),
		Misrouted:  c.counts.misrouted.Load(),
		Maps:       c.counts.maps.Load(),
	}
}
