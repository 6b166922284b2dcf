package signaling

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// carrierGrace is how long a refusal by all carriers that are connected waits for the others, which may just be
	// about to connect.
	carrierGrace = 300 * time.Millisecond
	// minCarrierLife is how long a carrier goes on at least, in the background, after another has done the work.
	minCarrierLife = 10 * time.Second
	// maxBehind bounds the messages that one carrier sends in the background.
	maxBehind = 64
	// closeWait is how long Close waits for what is still under way on carriers that are connected.
	closeWait = time.Second
)

// errBehind is why a carrier is left out of another message.
var errBehind = errors.New("too many messages wait for this carrier")

// Carrier is one of several ways to the same mailboxes.
type Carrier struct {
	Name   string  // in Delivery.Carrier
	Client *Client // somebody else runs it

	// Ticket, if it is not nil, takes the place of every mailbox's ticket: the server is the camera's own. It has no
	// rendezvous mailboxes, so those are left to the other carriers.
	Ticket []byte
}

// Carriers posts on several carriers at once, and receives on all. The first that works wins, so a message may arrive
// more than once: sealed messages do no harm twice.
type Carriers struct {
	list   []Carrier
	behind []atomic.Int32 // for each carrier, how many messages it sends in the background

	running []sync.WaitGroup // for each carrier, what is under way on it
	closed  context.Context  // ends when what is in the background must
	close   context.CancelFunc
}

// Together returns carriers that are used at the same time. The error of the first says best what is wrong.
func Together(list ...Carrier) *Carriers {
	c := &Carriers{
		list:    list,
		behind:  make([]atomic.Int32, len(list)),
		running: make([]sync.WaitGroup, len(list)),
	}
	c.closed, c.close = context.WithCancel(context.Background())
	return c
}

// Close waits for what is still under way on carriers that are connected, but not for long, and then ends everything.
// Nothing may be sent afterwards.
func (c *Carriers) Close() {
	timer := time.AfterFunc(closeWait, c.close)
	defer timer.Stop()
	for i, on := range c.list {
		if on.Client.Connected() {
			c.running[i].Wait()
		}
	}

	c.close()
	for i := range c.running {
		c.running[i].Wait()
	}
}

// mailbox returns a mailbox as a carrier opens it, and whether it does at all.
func (c Carrier) mailbox(mb Mailbox) (Mailbox, bool) {
	if c.Ticket == nil {
		return mb, true
	}
	rendezvous := string(mb.Ticket) == PairingTicket
	mb.Ticket = c.Ticket
	return mb, !rendezvous
}

// Receive is [Client.Receive] on all carriers. It calls handle for one message at a time. Each carrier has an order of
// its own.
func (c *Carriers) Receive(mb Mailbox, handle func(Delivery) (done bool)) (stop func()) {
	var mu sync.Mutex
	var stopped atomic.Bool
	return c.all(mb, func(on Carrier, mb Mailbox) func() {
		stop := on.Client.Receive(mb, func(d Delivery) bool {
			mu.Lock()
			defer mu.Unlock()
			if stopped.Load() {
				return false
			}
			d.Carrier = on.Name
			return handle(d)
		})
		return func() { stopped.Store(true); stop() }
	})
}

// Keep is [Client.Keep] on all carriers.
func (c *Carriers) Keep(mb Mailbox) (stop func()) {
	return c.all(mb, func(on Carrier, mb Mailbox) func() { return on.Client.Keep(mb) })
}

// all opens a mailbox on each carrier that has it.
func (c *Carriers) all(mb Mailbox, open func(on Carrier, mb Mailbox) (stop func())) (stop func()) {
	var stops []func()
	for _, on := range c.list {
		if mb, ok := on.mailbox(mb); ok {
			stops = append(stops, open(on, mb))
		}
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// Send posts a message on all carriers at once, as [Client.Send] does on each. It returns nil with the first success.
// The others then go on in the background, even if ctx ends, for as long as the message lives. Send returns an error
// when ctx ends, or when all carriers that are connected have refused the message and the others do not connect in a
// moment.
func (c *Carriers) Send(ctx context.Context, mb Mailbox, body []byte, ttl time.Duration) error {
	if err := checkBody(body); err != nil {
		return err
	}
	return c.each(ctx, mb, max(ttl, minCarrierLife), true, func(ctx context.Context, on *Client, mb Mailbox) error {
		return on.Send(ctx, mb, body, ttl)
	})
}

// Revoke is [Client.Revoke] on all carriers. It returns once all that are connected have answered. The others go on
// until Close.
func (c *Carriers) Revoke(ctx context.Context, mb Mailbox) error {
	const forever = 1 << 62
	return c.each(ctx, mb, forever, false, func(ctx context.Context, on *Client, mb Mailbox) error {
		return on.Revoke(ctx, mb)
	})
}

// each does something on all carriers. It returns with the first success if one is enough, and otherwise when all have
// ended but those that do not connect. Those that have not ended may then go on for as long as life.
func (c *Carriers) each(ctx context.Context, mb Mailbox, life time.Duration, one bool,
	do func(context.Context, *Client, Mailbox) error) error {
	w, pending := c.begin(ctx, mb, do)
	errs := make([]error, len(c.list))
	var grace <-chan time.Time // set while a refusal waits for the carriers that are not connected

	for len(pending) > 0 {
		select {
		case <-ctx.Done():
			return c.unsent(ctx, pending, first(errs))
		case o := <-w.outcomes:
			delete(pending, o.carrier)
			errs[o.carrier] = o.err
			if one && o.err == nil {
				w.goOn(life)
				return nil
			}
			grace = time.After(carrierGrace)
		case <-grace:
			if c.anyConnected(pending) {
				grace = time.After(carrierGrace)
				continue
			}

			if one {
				w.release()
			} else {
				w.goOn(life)
			}
			return first(errs)
		}
	}
	return first(errs)
}

// work is what several carriers do at the same time.
type work struct {
	ctx      context.Context // ends with the caller's until goOn
	attached func() bool     // undoes that, once
	release  func()          // ends ctx, and forgets everything
	left     atomic.Int32    // how many carriers have not ended
	outcomes chan outcome    // has room for all
}

// outcome is how a carrier's part of the work has ended.
type outcome struct {
	carrier int
	err     error
}

// newWork returns work that ends with ctx or Close.
func (c *Carriers) newWork(ctx context.Context, carriers int) *work {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	open := context.AfterFunc(c.closed, cancel)
	w := &work{
		ctx:      working,
		attached: context.AfterFunc(ctx, cancel),
		release:  func() { open(); cancel() },
		outcomes: make(chan outcome, carriers),
	}

	w.left.Store(int32(carriers))
	if carriers == 0 {
		w.release()
	}
	return w
}

// goOn makes the work go on after ctx, for as long as life.
func (w *work) goOn(life time.Duration) {
	if w.attached() {
		timer := time.AfterFunc(life, w.release)
		context.AfterFunc(w.ctx, func() { timer.Stop() })
	}
}

// end notes that a carrier has ended its part.
func (w *work) end(carrier int, err error) {
	w.outcomes <- outcome{carrier, err}
	if w.left.Add(-1) == 0 {
		w.attached()
		w.release()
	}
}

// begin starts to do something on each carrier that has the mailbox, and returns which those are.
func (c *Carriers) begin(ctx context.Context, mb Mailbox, do func(context.Context, *Client, Mailbox) error) (
	w *work, pending map[int]bool,
) {
	pending = make(map[int]bool)
	for i, on := range c.list {
		if _, ok := on.mailbox(mb); ok {
			pending[i] = true
		}
	}

	w = c.newWork(ctx, len(pending))
	for i := range pending {
		if c.behind[i].Add(1) > maxBehind && !c.list[i].Client.Connected() {
			c.behind[i].Add(-1)
			w.end(i, errBehind)
			continue
		}
		c.running[i].Go(func() {
			opened, _ := c.list[i].mailbox(mb)
			err := do(w.ctx, c.list[i].Client, opened)
			c.behind[i].Add(-1)
			w.end(i, err)
		})
	}
	return w, pending
}

// unsent returns why nothing was done before ctx ended: refusal, or what keeps the first of the pending carriers.
func (c *Carriers) unsent(ctx context.Context, pending map[int]bool, refusal error) error {
	if refusal != nil {
		return refusal
	}
	_, err := c.list[slices.Min(slices.Collect(maps.Keys(pending)))].Client.waitForLink(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return fmt.Errorf("send on all carriers: %w", err)
}

// anyConnected reports whether one of the carriers is connected.
func (c *Carriers) anyConnected(carriers map[int]bool) bool {
	for i := range carriers {
		if c.list[i].Client.Connected() {
			return true
		}
	}
	return false
}

// first returns the first error, or nil.
func first(errs []error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
