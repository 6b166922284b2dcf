package signaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// errBehind is why a carrier is left out of another message.
var errBehind = errors.New("too many messages wait for this carrier")

// background is the life of what a route does on its carriers. At first, it ends with the caller's context.
type background struct {
	ctx      context.Context // ends when the work must
	attached func() bool     // separates ctx from the caller's context, once
	release  func()          // ends ctx
}

// newBackground returns a background that ends with ctx or Close, too.
func (c *Carriers) newBackground(ctx context.Context) background {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	open := context.AfterFunc(c.closed, cancel)
	return background{
		ctx:      working,
		attached: context.AfterFunc(ctx, cancel),
		release:  func() { open(); cancel() },
	}
}

// goOn makes the work go on after the caller's context, for as long as life.
func (b *background) goOn(life time.Duration) {
	if b.attached() {
		timer := time.AfterFunc(life, b.release)
		context.AfterFunc(b.ctx, func() { timer.Stop() })
	}
}

// end ends the work.
func (b *background) end() {
	b.attached()
	b.release()
}

// register lets carriers that join the route take part in s, for as long as s lives. r.mu must be held.
func (r *Route) register(s sending, b background) {
	r.sendings[s] = struct{}{}
	context.AfterFunc(b.ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.sendings, s)
	})
}

// work is one request on all carriers of a route.
type work struct {
	background
	route   *Route
	caller  context.Context
	mailbox Mailbox
	do      func(context.Context, *Client, Mailbox) error
	news    chan struct{} // holds one token when a carrier has ended, or joined

	mu      sync.Mutex
	pending []*member // guarded by mu; those that have not ended
	errs    []error   // guarded by mu; why others have failed
	done    bool      // guarded by mu; one has succeeded
	forgets bool      // guarded by mu; the work ends with the last of the pending carriers
}

func (r *Route) newWork(ctx context.Context, mb Mailbox, do func(context.Context, *Client, Mailbox) error) *work {
	return &work{
		background: r.carriers.newBackground(ctx),
		route:      r,
		caller:     ctx,
		mailbox:    mb,
		do:         do,
		news:       make(chan struct{}, 1),
	}
}

// begin starts the work on the carriers of the route. joinable: also on those that join it later.
func (w *work) begin(joinable bool) {
	w.route.mu.Lock()
	defer w.route.mu.Unlock()
	if joinable {
		w.route.register(w, w.background)
	}
	for _, m := range w.route.members {
		w.join(m)
	}
}

// join starts the work on one carrier, if that has the mailbox.
func (w *work) join(m *member) {
	mb, ok := m.mailbox(w.mailbox)
	if !ok {
		return
	}
	w.mu.Lock()
	w.pending = append(w.pending, m)
	w.mu.Unlock()
	signal(w.news)

	if m.behind.Add(1) > maxBehind && !m.Client.Connected() {
		m.behind.Add(-1)
		w.ended(m, errBehind)
		return
	}
	begun := m.begin(func() {
		working, cancel := context.WithCancel(w.ctx)
		defer cancel()
		defer context.AfterFunc(m.ctx, cancel)()
		err := w.do(working, m.Client, mb)
		m.behind.Add(-1)
		w.ended(m, err)
	})
	if !begun {
		m.behind.Add(-1)
		w.ended(m, context.Canceled)
	}
}

// ended notes how a carrier's part of the work has ended.
func (w *work) ended(m *member, err error) {
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(other *member) bool { return other == m })
	if err == nil {
		w.done = true
	} else {
		w.errs = append(w.errs, err)
	}
	over := w.forgets && len(w.pending) == 0
	w.mu.Unlock()

	signal(w.news)
	if over {
		w.end()
	}
}

// state returns the carriers that have not ended, whether one has succeeded, and why the first failed that did.
func (w *work) state() (pending []*member, done bool, refusal error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) > 0 {
		refusal = w.errs[0]
	}
	return slices.Clone(w.pending), w.done, refusal
}

// awaitOne returns nil with the first success; the work then goes on for as long as life. Otherwise the work ends, and
// awaitOne returns why it has failed.
func (w *work) awaitOne(life time.Duration) error {
	err := w.await(true)
	if err != nil {
		w.end()
		return err
	}
	w.goOn(life)
	return nil
}

// awaitAll returns once all carriers have ended but those that do not connect, which go on.
func (w *work) awaitAll() error {
	err := w.await(false)
	if w.caller.Err() != nil {
		w.end()
		return err
	}

	w.attached()
	w.mu.Lock()
	w.forgets = true
	over := len(w.pending) == 0
	w.mu.Unlock()
	if over {
		w.end()
	}
	return err
}

// await waits until all carriers have ended but those that do not connect, or, if one is enough, for the first success.
// It returns the first failure, or why nothing was done, unless there was one success and that is enough.
func (w *work) await(one bool) error {
	var grace <-chan time.Time // set while a refusal waits for the carriers that are not connected
	for {
		pending, done, refusal := w.state()
		switch {
		case one && done:
			return nil
		case len(pending) == 0:
			return refusal
		}
		if grace == nil && (done || refusal != nil) {
			grace = time.After(carrierGrace)
		}

		select {
		case <-w.caller.Done():
			return w.unsent(pending, refusal)
		case <-w.news:
			grace = nil
		case <-grace:
			grace = nil
			if !anyConnected(pending) {
				return refusal
			}
		}
	}
}

// unsent returns why nothing was done before the caller's context ended: refusal, or what keeps the first of the
// pending carriers.
func (w *work) unsent(pending []*member, refusal error) error {
	if refusal != nil {
		return refusal
	}
	_, err := pending[0].Client.waitForLink(w.caller)
	if err == nil {
		err = w.caller.Err()
	}
	return fmt.Errorf("send on all carriers: %w", err)
}
