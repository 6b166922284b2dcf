package signaling

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Route is one or more carriers that lead to the same other end. It posts on all at once, and receives on all. The
// first that works wins, so a message may arrive more than once: sealed messages do no harm twice.
//
// More carriers may join while it is used. Mailboxes that are open are opened on them too, and messages that were sent
// before are sent on them too, the same bytes, for as long as they live.
type Route struct {
	carriers *Carriers

	mu       sync.Mutex
	members  []*member             // guarded by mu
	openings map[*opening]struct{} // guarded by mu
	sendings map[sending]struct{}  // guarded by mu; in which a carrier that joins takes part
}

// opening is a mailbox that is open on every carrier of a route.
type opening struct {
	mailbox Mailbox
	open    func(on Carrier, mb Mailbox) (stop func())
	stops   map[*member]func() // guarded by Route.mu
}

// sending is what is sent on every carrier of a route.
type sending interface {
	join(m *member)
}

func (c *Carriers) newRoute() *Route {
	return &Route{carriers: c, openings: make(map[*opening]struct{}), sendings: make(map[sending]struct{})}
}

// Join adds one of the device's carriers to the route. It does nothing if the route has it, or if there is none of that
// name.
func (r *Route) Join(name string) {
	if m := r.carriers.member(name); m != nil {
		r.join(m)
	}
}

func (r *Route) join(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.members, m) {
		return
	}
	r.members = append(r.members, m)
	for o := range r.openings {
		o.openOn(m)
	}
	for s := range r.sendings {
		s.join(m)
	}
}

// leave closes what is open on a carrier, and sends nothing new on it.
func (r *Route) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	for o := range r.openings {
		if stop := o.stops[m]; stop != nil {
			stop()
			delete(o.stops, m)
		}
	}
}

// present returns the carriers of the route.
func (r *Route) present() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

// member returns the carrier with a name, or nil.
func (r *Route) member(name string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Receive is [Client.Receive] on all carriers. It calls handle for one message at a time. Each carrier has an order of
// its own.
func (r *Route) Receive(mb Mailbox, handle func(Delivery) (done bool)) (stop func()) {
	var mu sync.Mutex
	var stopped atomic.Bool
	stopAll := r.open(mb, func(on Carrier, mb Mailbox) func() {
		return on.Client.Receive(mb, func(d Delivery) bool {
			mu.Lock()
			defer mu.Unlock()
			if stopped.Load() {
				return false
			}
			d.Carrier = on.Name
			return handle(d)
		})
	})
	return func() { stopped.Store(true); stopAll() }
}

// Keep is [Client.Keep] on all carriers.
func (r *Route) Keep(mb Mailbox) (stop func()) {
	return r.open(mb, func(on Carrier, mb Mailbox) func() { return on.Client.Keep(mb) })
}

// open opens a mailbox on each carrier that has it.
func (r *Route) open(mb Mailbox, open func(on Carrier, mb Mailbox) (stop func())) (stop func()) {
	o := &opening{mailbox: mb, open: open, stops: make(map[*member]func())}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.openings[o] = struct{}{}
	for _, m := range r.members {
		o.openOn(m)
	}

	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.openings, o)
		for _, stop := range o.stops {
			stop()
		}
		o.stops = nil
	}
}

// openOn opens the mailbox on one carrier, if that has it.
func (o *opening) openOn(m *member) {
	if mb, ok := m.mailbox(o.mailbox); ok {
		o.stops[m] = o.open(m.Carrier, mb)
	}
}

// Send posts a message on all carriers at once, as [Client.Send] does on each. It returns nil with the first success.
// The others then go on in the background, even if ctx ends, for as long as the message lives. Send returns an error
// when ctx ends, or when all carriers that are connected have refused the message and the others do not connect in a
// moment.
func (r *Route) Send(ctx context.Context, mb Mailbox, body []byte, ttl time.Duration) error {
	if err := checkBody(body); err != nil {
		return err
	}
	w := r.newWork(ctx, mb, func(ctx context.Context, on *Client, mb Mailbox) error {
		return on.Send(ctx, mb, body, ttl)
	})
	w.begin(true)
	return w.awaitOne(max(ttl, minCarrierLife))
}

// Revoke is [Client.Revoke] on all carriers. It returns once all that are connected have answered. The others go on
// until Close.
func (r *Route) Revoke(ctx context.Context, mb Mailbox) error {
	w := r.newWork(ctx, mb, func(ctx context.Context, on *Client, mb Mailbox) error { return on.Revoke(ctx, mb) })
	w.begin(false)
	return w.awaitAll()
}
