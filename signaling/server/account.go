package server

import (
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	boxesPerAccount    = 10_000
	grantsPerHour      = 3600
	bytesPerAccount    = 64 << 20
	pairingsPerAddress = 600 // of ten minutes each: a rate of one a second
)

// account is who pays: a ticket, or a source address where everyone is admitted.
type account struct {
	key         string
	pairing     bool // pays for rendezvous mailboxes only
	maxBoxes    int  // mailboxes admitted at one time
	maxGrants   int  // an hour
	local       bool // this machine: for tests and development, not limited
	ticket      bool // who has it owns the mailboxes it admits
	boxes       int
	bytes       int // that wait in its mailboxes
	grants      int
	grantsSince time.Time
}

// account is who admits a mailbox opened with a ticket; nil: nobody, the mailbox waits for its owner.
func (c *conn) account(ticket []byte, now time.Time) (*account, *signaling.Error) {
	source := &account{key: "address " + c.addr.String(), maxBoxes: boxesPerAccount, maxGrants: grantsPerHour, local: c.addr.IsLoopback()}
	switch {
	case string(ticket) == signaling.PairingTicket:
		source.key, source.pairing, source.maxBoxes, source.maxGrants = "pairing "+source.key, true, pairingsPerAddress, 0
		return source, nil
	case c.server.cfg.TicketKey == nil:
		return source, nil
	case len(ticket) == 0:
		return nil, nil
	}
	t, err := signaling.ParseTicket(ticket, c.server.cfg.TicketKey, now)
	if err != nil {
		return nil, &signaling.Error{Code: signaling.CodeSignature, Text: err.Error()}
	}
	return &account{key: "ticket " + string(t.ID[:]), ticket: true, maxBoxes: int(t.Mailboxes), maxGrants: int(t.SessionsPerHour)}, nil
}

// grant takes one grant of this hour's.
func (a *account) grant(now time.Time) bool {
	if now.Sub(a.grantsSince) > time.Hour {
		a.grantsSince, a.grants = now, 0
	}
	if a.grants >= a.maxGrants && !a.local {
		return false
	}
	a.grants++
	return true
}

// idle says whether nothing is known of the account that a new one would not know.
func (a *account) idle(now time.Time) bool {
	return a.boxes == 0 && (a.grants == 0 || now.Sub(a.grantsSince) > time.Hour)
}
