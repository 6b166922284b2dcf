package signaling

import (
	"bytes"
	"context"
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

// Carrier is one of several ways to the same mailboxes.
type Carrier struct {
	Name   string  // in Delivery.Carrier; all carriers in use have different names
	Client *Client // somebody else runs it

	// Ticket, if it is not nil, takes the place of every mailbox's ticket: the server is the camera's own. It has no
	// rendezvous mailboxes, so those are left to the other carriers.
	Ticket []byte
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

// Carriers are all carriers of a device. Its Route is the one by all of them; it gains those that Add adds.
type Carriers struct {
	*Route

	closed context.Context // ends when what is in the background must
	close  context.CancelFunc
}

// Together returns carriers that are used at the same time. The error of the first says best what is wrong.
func Together(list ...Carrier) *Carriers {
	c := &Carriers{}
	c.closed, c.close = context.WithCancel(context.Background())
	c.Route = c.newRoute()
	for _, on := range list {
		c.Add(on)
	}
	return c
}

// Add adds a carrier. What is open on the others is opened on it too, and what they have sent is sent on it for as long
// as it lives.
func (c *Carriers) Add(on Carrier) {
	m := &member{Carrier: on}
	m.ctx, m.cancel = context.WithCancel(c.closed)
	c.join(m)
}

// Remove ends what is under way on a carrier, and closes what is open on it. Its client may then be stopped.
func (c *Carriers) Remove(name string) {
	if m := c.member(name); m != nil {
		c.leave(m)
		m.stop()
	}
}

// Readmit is [Client.Readmit] on the carriers that use the mailboxes' own tickets, and holds for those that are added
// later.
func (c *Carriers) Readmit(old, ticket []byte) {
	c.mu.Lock()
	for o := range c.openings {
		if len(old) > 0 && bytes.Equal(o.mailbox.Ticket, old) {
			o.mailbox.Ticket = ticket
		}
	}
	c.mu.Unlock()
	for _, m := range c.present() {
		if m.Ticket == nil {
			m.Client.Readmit(old, ticket)
		}
	}
}

// Only returns a route by one carrier, or by all if there is none of that name any more. More may join it.
func (c *Carriers) Only(name string) *Route {
	r := c.newRoute()
	if m := c.member(name); m != nil {
		r.join(m)
		return r
	}
	for _, m := range c.present() {
		r.join(m)
	}
	return r
}

// Close waits for what is still under way on carriers that are connected, but not for long, and then ends everything.
// Nothing may be sent afterwards.
func (c *Carriers) Close() {
	timer := time.AfterFunc(closeWait, c.close)
	defer timer.Stop()
	members := c.present()
	for _, m := range members {
		if m.Client.Connected() {
			m.running.Wait()
		}
	}

	c.close()
	for _, m := range members {
		m.running.Wait()
	}
}

// member is a carrier in use.
type member struct {
	Carrier
	ctx    context.Context // ends when the carrier is removed
	cancel context.CancelFunc
	behind atomic.Int32 // how many messages it sends in the background

	mu      sync.Mutex
	stopped bool           // guarded by mu; nothing more may begin
	running sync.WaitGroup // what is under way; mu is held while something is added
}

// begin runs f, unless the carrier has been removed.
func (m *member) begin(f func()) (begun bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.running.Go(f)
	}
	return !m.stopped
}

// stop ends what is under way.
func (m *member) stop() {
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.cancel()
	m.running.Wait()
}

// anyConnected reports whether one of the carriers is connected.
func anyConnected(carriers []*member) bool {
	return slices.ContainsFunc(carriers, func(m *member) bool { return m.Client.Connected() })
}
