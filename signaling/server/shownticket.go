package server

import (
	"context"
	"errors"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

// ticketsPerConn bounds the tickets that one connection may show. A connection belongs to one camera, or to a few.
const ticketsPerConn = 16

// shownTicket is a ticket that a connection has shown. The connection keeps it to check its signature only once.
type shownTicket struct {
	wire     string
	notAfter time.Time
	account  *account
}

// payerFor returns who pays for a mailbox that a client opens with a ticket. wire is the ticket as it was sent. who is
// nil if nobody pays; the mailbox then waits for its owner.
func (c *conn) payerFor(ctx context.Context, wire []byte,
	now time.Time) (who *account, pairing bool, refused *signaling.Error) {
	switch {
	case c.server.cfg.Private && len(wire) > 0 && (c.outsider != nil || string(wire) == signaling.PairingTicket):
		return nil, false, errNothing
	case string(wire) == signaling.PairingTicket:
		return c.address, true, nil
	case c.server.cfg.TicketKey == nil:
		return c.address, false, nil
	case len(wire) == 0:
		return nil, false, nil
	}

	who, refused = c.showTicket(ctx, wire, now)
	return who, false, refused
}

// showTicket returns the account of a ticket. The first ticket also pays for the connection, which then no longer
// shares anything with its address.
func (c *conn) showTicket(ctx context.Context, wire []byte, now time.Time) (*account, *signaling.Error) {
	for _, shown := range c.tickets {
		if shown.wire == string(wire) {
			if now.After(shown.notAfter) {
				return nil, &signaling.Error{Code: signaling.CodeSignature, Text: signaling.ErrTicketExpired.Error()}
			}
			return shown.account, nil
		}
	}

	if len(c.tickets) >= ticketsPerConn || !c.pay(ctx, ticketWork) {
		return nil, errQuota
	}

	limits, err := signaling.ParseTicket(wire, c.server.cfg.TicketKey, now)
	if err != nil {
		if errors.Is(err, signaling.ErrTicket) {
			c.badSignatures++
		}
		return nil, &signaling.Error{Code: signaling.CodeSignature, Text: err.Error()}
	}

	t, err := c.server.tickets.addUser(limits)
	if err != nil {
		return nil, errQuota
	}
	who := &account{payer: netlimit.Named(t.id), class: c.server.tickets.class, ticket: t}
	c.tickets = append(c.tickets, shownTicket{string(wire), limits.NotAfter, who})
	if c.account == c.address {
		c.moveLeases(who)
	}

	return who, nil
}

// moveLeases makes a ticket pay for the connection if the ticket has room. Otherwise the address continues to pay.
func (c *conn) moveLeases(who *account) {
	var leases []*netlimit.Lease
	for _, part := range []struct {
		pool *netlimit.Pool
		n    int64
	}{
		{who.class.connections, c.connection.Held()},
		{who.class.mailboxes, c.mailboxes.Held()},
		{who.class.buffers, c.inbound.Held()},
		{who.class.buffers, 0},
	} {
		lease, err := part.pool.Acquire(who.payer, part.n)
		if err != nil {
			break
		}
		leases = append(leases, lease)
	}

	if len(leases) == 4 {
		if was, ok := c.out.moveLease(leases[3]); ok {
			c.account = who
			c.connection, leases[0] = leases[0], c.connection
			c.mailboxes, leases[1] = leases[1], c.mailboxes
			c.inbound, leases[2] = leases[2], c.inbound
			leases[3] = was
		}
	}

	for _, lease := range leases {
		lease.Release()
	}
}
