package signaling

import (
	"maps"
	"slices"
	"time"
)

const (
	minRefusalBackoff = 2 * time.Second
	maxRefusalBackoff = 5 * time.Minute

	// openTimeout is how long a relay may leave an Open unanswered. That can happen after a restart, when all clients
	// come back at once.
	openTimeout = 30 * time.Second
)

// refusalBackoff spaces the reconnects that refused mailboxes cause.
type refusalBackoff struct {
	last time.Time     // when next was last called
	wait time.Duration // what next last returned
}

// next returns how long to wait before the next reconnect: longer each time, and short again after a long peace.
func (b *refusalBackoff) next(now time.Time) time.Duration {
	if now.Sub(b.last) > 2*maxRefusalBackoff {
		b.wait = minRefusalBackoff
	} else {
		b.wait = min(2*b.wait, maxRefusalBackoff)
	}
	b.last = now
	return b.wait
}

// retryRefused handles the relay's refusal to open a mailbox on l. A refusal may be temporary, if a quota is used up,
// or concern only this connection, if somebody has altered its nonce. So the client reconnects with backoff while it
// wants a refused mailbox.
func (c *Client) retryRefused(l *link, refusal *Error) {
	if !l.beginRetry(refusal) {
		return
	}

	c.mu.Lock()
	wait := c.refusals.next(time.Now())
	c.mu.Unlock()

	timer := time.AfterFunc(wait, func() {
		if c.wantsRetry(l) {
			l.abandon(refusal)
		}
	})
	if !l.setRetry(timer) {
		timer.Stop()
	}
}

// beginRetry notes a refusal, and reports whether no retry was pending.
func (l *link) beginRetry(refusal *Error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.badSignature = l.badSignature || refusal.Code == CodeSignature
	first := !l.retryPending
	l.retryPending = true
	return first
}

// setRetry makes close stop the timer. It returns false if the link is closed already.
func (l *link) setRetry(timer *time.Timer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.retry = timer
	return l.waiting != nil
}

// wantsRetry ends the pending retry of l, and reports whether to reconnect. That is so if a refused mailbox is still
// wanted, or if a signature was refused, because the relay would refuse the next one too.
func (c *Client) wantsRetry(l *link) bool {
	l.mu.Lock()
	l.retryPending = false
	refused, badSignature := slices.Collect(maps.Keys(l.refused)), l.badSignature
	l.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range refused {
		if c.receivers[name] != nil || c.kept[name] != nil {
			return true
		}
	}
	return badSignature
}

// abandon ends the connection for a reason that endReason then returns.
func (l *link) abandon(reason error) {
	l.mu.Lock()
	l.reason = reason
	l.mu.Unlock()

	l.conn.CloseNow()
}

// endReason returns why the connection ended: err, unless it was abandoned.
func (l *link) endReason(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.reason != nil {
		return l.reason
	}
	return err
}

// openOverdue reports whether an Open has waited too long for its answer.
func (l *link) openOverdue(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, o := range l.opens {
		if now.Sub(o.at) > openTimeout {
			return true
		}
	}
	return false
}
