package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// handle handles one frame, and reports whether a client may send such a frame.
func (c *conn) handle(ctx context.Context, f signaling.Frame) bool {
	now := time.Now()
	if c.unproven() {
		c.prove(ctx, f, now)
		return true
	}

	switch f := f.(type) {
	case signaling.Open:
		name := signaling.NameOf(f.ReadKey, f.WriteKey)
		err := c.openMailbox(ctx, name, f, now)
		c.reply(f.ID, err)
		if err == nil && f.Access == signaling.Read {
			c.startReading(name)
		}
	case signaling.Post:
		c.reply(f.ID, c.post(f, now))
	case signaling.Ack:
		if o := c.boxes[f.Name]; o != nil && o.reader != nil {
			c.server.store.ack(f.Name, f.Seq)
		}
	case signaling.Reject:
		c.reject(f, now)
	case signaling.GrantRequest:
		c.grant(f, now)
	case signaling.Close:
		if o := c.boxes[f.Name]; o != nil {
			c.revokeGrants(f.Name, c.closeMailbox(f.Name, o, false, now))
		}
	case signaling.Revoke:
		c.reply(f.ID, c.revoke(f, now))
	default:
		return false
	}

	return true
}

func (c *conn) reply(id uint32, err *signaling.Error) {
	if err != nil {
		c.server.Stats.Refused.Add(1)
		err = c.refusalFor(err)
		c.send(signaling.Refused{ID: id, Code: err.Code, Text: err.Text})
		return
	}
	c.send(signaling.OK{ID: id})
}

func (c *conn) openMailbox(ctx context.Context, name signaling.Name, f signaling.Open, now time.Time) *signaling.Error {
	if !f.Verify(c.origin, c.nonce) {
		c.badSignatures++
		c.server.Stats.BadSignatures.Add(1)
		c.pay(ctx, badSignatureWork)
		return &signaling.Error{Code: signaling.CodeSignature,
			Text: "signature does not verify: is this relay known by another URL?"}
	}

	who, pairing, refused := c.payerFor(ctx, f.Ticket, c.server.cfg.Now())
	if refused == nil {
		refused = c.claimPlace()
	}
	if refused != nil {
		return refused
	}

	o := c.boxes[name]
	first := o == nil
	if first {
		if len(c.boxes) >= c.maxMailboxes() || c.mailboxes.Grow(openedCost) != nil {
			c.server.Stats.RefusedMailboxes.Add(1)
			return errQuota
		}
		o = &opened{}
		if c.outsider != nil {
			o.standing = &c.outsider.standing
		}
	}

	how := opening{first: first, who: who, pairing: pairing, proof: c.unproven()}
	if err := c.openInStore(name, o, how, f.Access, now); err != nil {
		c.server.Stats.RefusedMailboxes.Add(1)
		if first {
			c.mailboxes.Shrink(openedCost)
		}
		return err
	}

	c.boxes[name] = o
	o.write = o.write || f.Access == signaling.Write
	c.server.Stats.Opened.Add(1)
	return nil
}

// openInStore opens a mailbox in the store. If a client opens a mailbox for reading a second time, reading starts anew:
// the client has stopped reading meanwhile, but has not closed the mailbox because it still writes to it.
func (c *conn) openInStore(name signaling.Name, o *opened, how opening, access signaling.Access,
	now time.Time) *signaling.Error {
	before := o.reader
	if access == signaling.Read {
		how.reader = &reader{name: name, conn: c}
	}

	replaced, err := c.server.store.openBox(name, &o.holder, how, now)
	if err != nil {
		return err
	}
	if how.reader != nil && before != nil {
		before.end()
	}
	if replaced != nil {
		replaced.endReplaced()
	}
	return nil
}

// startReading starts to deliver the messages of a mailbox: first those that are stored, then those that arrive.
func (c *conn) startReading(name signaling.Name) {
	r := c.boxes[name].reader
	r.subscribe(c.server.cfg.Bus)
	c.out.addReplay(r)
}

func (c *conn) post(f signaling.Post, now time.Time) *signaling.Error {
	o := c.boxes[f.Name]
	if o == nil || !o.write {
		return errNotOpened
	}
	if len(f.Body) > signaling.MaxBody {
		return errTooLarge
	}

	if err := c.server.store.post(f.Name, &o.holder, f.Body, time.Duration(f.TTL)*time.Second, now); err != nil {
		if err == errQuota {
			c.server.Stats.RefusedMessages.Add(1)
		}
		return err
	}

	c.server.Stats.Posted.Add(1)
	c.server.wakeSweeper()
	return nil
}

func (c *conn) revoke(f signaling.Revoke, now time.Time) *signaling.Error {
	o := c.boxes[f.Name]
	if o == nil {
		return errNotPaid
	}
	payer, refused := c.server.store.revoke(f.Name, &o.holder, now)
	c.revokeGrants(f.Name, payer)
	return refused
}

// revokeGrants ends what was granted through a mailbox whose admission has just ended, if a ticket paid for it. payer
// is nil if no admission has ended.
func (c *conn) revokeGrants(name signaling.Name, payer *account) {
	if payer != nil && payer.ticket != nil && c.server.cfg.Granter != nil {
		c.server.cfg.Granter.Revoke(name)
	}
}

func (c *conn) grant(f signaling.GrantRequest, now time.Time) {
	if o := c.boxes[f.Name]; o == nil || !o.write {
		c.reply(f.ID, errNotOpened)
		return
	}
	if c.server.cfg.Granter == nil {
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "this relay grants no ICE servers"})
		return
	}

	payer, refused := c.server.store.payerOf(f.Name)
	if refused == nil && payer.chargeGrant(c.account, now) != nil {
		c.server.Stats.RefusedGrants.Add(1)
		refused = errQuota
	}
	if refused != nil {
		c.reply(f.ID, refused)
		return
	}

	grant, err := c.server.cfg.Granter.Grant(payer.turnName(c.server), f.Name, f.Region, now)
	var text []byte
	if err == nil {
		text, err = json.Marshal(grant)
	}
	if err != nil {
		c.server.cfg.Logger.Error("grant ice servers", "err", err)
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeClosing, Text: "no ICE servers now: try again later"})
		return
	}

	c.server.Stats.Granted.Add(1)
	c.send(signaling.Granted{ID: f.ID, JSON: text})
}
