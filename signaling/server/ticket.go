package server

import (
	"sync"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

const bytesPerTicket = 64 << 20

// ticket is the state of a ticket in use.
type ticket struct {
	id    [16]byte
	lease *netlimit.Lease

	mu            sync.Mutex
	limits        signaling.Ticket // guarded by mu; the limits of the newest ticket with this id
	users         int              // guarded by mu; connections that have shown it
	openMailboxes int              // guarded by mu; admitted mailboxes that are not closed
	mailboxes     int              // guarded by mu; admitted mailboxes
	bytes         int64            // guarded by mu; the cost of the messages that wait in its mailboxes
	grants        int              // guarded by mu; in the hour that began at grantsSince
	grantsSince   time.Time        // guarded by mu
	shares        *netlimit.Rate   // guarded by mu; shares of the grants by who asks; nil until somebody asks
}

// ticketShare bounds how much of a ticket's bytes one mailbox may hold. A viewer has the keys of several mailboxes, and
// must not use up the bytes for all.
var ticketShare = netlimit.Share{Max: bytesPerBox, Free: 1. / 8, Min: 64 << 10}

// grantShare bounds how many of a ticket's grants one address may use in an hour. A viewer must leave some to others.
var grantShare = netlimit.Share{Free: 1, Min: 8}

// addMailbox counts another admitted mailbox.
func (t *ticket) addMailbox() error {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.openMailboxes >= int(t.limits.Mailboxes) {
		return netlimit.ErrShare
	}
	t.openMailboxes++
	t.mailboxes++
	return nil
}

// reopenMailbox counts a closed mailbox as open again.
func (t *ticket) reopenMailbox() error {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.openMailboxes >= int(t.limits.Mailboxes) {
		return netlimit.ErrShare
	}
	t.openMailboxes++
	return nil
}

// closeMailbox stops counting a mailbox as open, whether or not messages wait in it.
func (t *ticket) closeMailbox() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.openMailboxes--
}

// removeMailbox stops counting an admitted mailbox.
func (t *ticket) removeMailbox() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mailboxes--
}

// addBytes counts n more bytes in a mailbox that holds held bytes.
func (t *ticket) addBytes(held, n int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()

	if !ticketShare.Allows(held, n, bytesPerTicket, t.bytes) {
		return netlimit.ErrShare
	}
	t.bytes += n
	return nil
}

func (t *ticket) removeBytes(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= n
}

// chargeGrant uses one of this hour's grants.
func (t *ticket) chargeGrant(asking netlimit.Payer, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()

	if now.Sub(t.grantsSince) > time.Hour {
		t.grantsSince, t.grants = now, 0
	}
	limit := int(t.limits.SessionsPerHour)
	if t.grants >= limit {
		return netlimit.ErrFull
	}

	if t.shares == nil {
		t.shares = netlimit.NewRate(netlimit.Config{
			Size:    int64(limit) + int64(grantShare.Min),
			IPv4:    grantShare,
			Host:    grantShare,
			Site:    grantShare,
			Network: grantShare,
			Named:   grantShare,
			Payers:  256,
		}, grantWindow)
	}

	if err := t.shares.Charge(asking, 1, now); err != nil {
		return err
	}
	t.grants++
	return nil
}

// setLimits replaces the limits when a ticket with this id is shown again.
func (t *ticket) setLimits(limits signaling.Ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.limits.SessionsPerHour != limits.SessionsPerHour {
		t.shares = nil
	}
	t.limits = limits
}

// idle reports whether the state of a ticket is the same as that of a new one.
func (t *ticket) idle(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.users == 0 && t.mailboxes == 0 && (t.grants == 0 || now.Sub(t.grantsSince) > time.Hour)
}

// tickets holds the tickets in use.
type tickets struct {
	class *class

	mu   sync.Mutex
	byID map[[16]byte]*ticket // guarded by mu
}

// addUser returns the state of a ticket that a connection has shown. The connection must call removeUser.
func (all *tickets) addUser(limits signaling.Ticket) (*ticket, error) {
	all.mu.Lock()
	defer all.mu.Unlock()

	t := all.byID[limits.ID]
	if t == nil {
		lease, err := all.class.mailboxes.Acquire(netlimit.Named(limits.ID), ticketCost)
		if err != nil {
			return nil, err
		}
		t = &ticket{id: limits.ID, lease: lease}
		all.byID[limits.ID] = t
	}

	t.setLimits(limits)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users++
	return t, nil
}

func (t *ticket) removeUser() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users--
}

// sweep forgets idle tickets.
func (all *tickets) sweep(now time.Time) {
	all.mu.Lock()
	defer all.mu.Unlock()

	for id, t := range all.byID {
		if t.idle(now) {
			t.lease.Release()
			delete(all.byID, id)
		}
	}
}
