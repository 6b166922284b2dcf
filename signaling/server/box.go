package server

import (
	"slices"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/mail"
)

const (
	// readersPerBox is one reader, and one more for a connection that replaces another which has not ended yet.
	readersPerBox = 2

	// An admission outlives its payer's presence for as long as the payer was present, within these bounds. So a pair's
	// mailbox waits for a camera whose power is off, but the mailbox of a broken session does not.
	minAbsence = time.Minute
	maxAbsence = 24 * time.Hour

	// closedLife is how long the last messages of a payer that closed a mailbox may still be fetched.
	closedLife = 2 * time.Minute

	pairingLife = 10 * time.Minute
)

// box is one mailbox. Its shard's mutex guards it.
type box struct {
	name    signaling.Name
	since   time.Time // when the payer came; without a payer, when the mailbox was made
	next    uint64    // the next message's number; the first is random, so that no ack survives a restart
	holders []*holder
	readers []*reader // oldest first

	payer   *account // who admitted it; nil if nobody did
	lease   *netlimit.Lease
	reserve int64     // bytes of messages that the lease covers
	paying  int       // how many holders the payer has
	left    time.Time // when the payer's last holder left
	closed  bool      // the payer gave it up; readers may still fetch the payer's own messages, but nothing else

	pairing bool
	posted  int // messages so far, in a pairing mailbox

	messages messages
	emptied  uint32 // how often all or others' messages were deleted
	restored bool   // it has what an earlier process has left in the mail store

	unpublished []bus.Message // still to be published, in this order
	publishing  bool          // a goroutine is publishing them
}

// holder is a connection that has a mailbox open.
type holder struct {
	account *account // can pay for the mailbox; nil if this holder does not
	reader  *reader  // nil if it is not open for reading

	standing *standing // nil unless the connection comes from outside to a private server
	counted  bool      // the mailbox is admitted, and standing counts it
	ending   bool      // the connection was ended in favour of another
}

// takesOver reports whether a holder becomes the payer. At a relay with tickets, a holder with a ticket does while no
// holder with the payer's ticket is present. At a relay that admits everyone, the reader does, and until there is one,
// the first holder.
func (b *box) takesOver(who *account, reads bool) bool {
	switch {
	case who == nil:
		return false
	case b.payer == nil || b.closed:
		return true
	case b.pairing:
		return who.ticket != nil
	case who.samePayer(b.payer):
		return false
	case who.ticket != nil:
		return b.paying == 0
	}
	return reads && !b.payerReads()
}

func (b *box) payerReads() bool {
	return slices.ContainsFunc(b.holders, func(h *holder) bool {
		return h.reader != nil && h.account.samePayer(b.payer)
	})
}

// admitted reports whether somebody pays for the mailbox and has not given it up.
func (b *box) admitted() bool { return b.payer != nil && !b.closed }

// updateStandings tells the connections from outside whether the mailbox is admitted.
func (b *box) updateStandings() {
	for _, h := range b.holders {
		h.count(b.admitted())
	}
}

// count makes the holder's connection, if it comes from outside, count the mailbox or count it no longer.
func (h *holder) count(admitted bool) {
	switch {
	case h.standing == nil || h.counted == admitted:
		return
	case admitted:
		h.standing.add()
	default:
		h.standing.remove()
	}
	h.counted = admitted
}

// makeRoomOutside ends the oldest of the connections from outside if a new one makes too many.
func (b *box) makeRoomOutside(arriving *holder) {
	if arriving.standing == nil {
		return
	}
	from := func(h *holder) bool { return h.standing != nil && !h.ending }
	count := 0
	for _, h := range b.holders {
		if from(h) {
			count++
		}
	}

	if count >= connsPerMailbox {
		oldest := b.holders[slices.IndexFunc(b.holders, from)]
		oldest.ending = true
		oldest.standing.end()
	}
}

// countPayers counts the payer's holders after one may have left at the time now.
func (b *box) countPayers(now time.Time) {
	was := b.paying
	b.paying = 0
	for _, h := range b.holders {
		if h.account.samePayer(b.payer) {
			b.paying++
		}
	}

	if was > 0 && b.paying == 0 {
		b.left = now
	}
}

// admit makes who the payer, in place of the present one. Messages stay, except those in a pairing mailbox, which
// anybody may have posted.
func (b *box) admit(who *account, pairing, reads bool, now time.Time) error {
	again := b.closed && who.samePayer(b.payer)
	if again {
		if err := b.reopen(); err != nil {
			return err
		}
		return b.reserveRead(reads)
	}

	lease, reserve, err := b.acquireLease(who, pairing, reads)
	if err != nil {
		return err
	}
	if b.pairing {
		b.emptied++
		b.messages.retain(func(*message) bool { return false })
	}

	b.vacate()
	b.payer, b.lease, b.reserve, b.pairing, b.posted = who, lease, reserve, pairing, 0
	b.since, b.left = now, now
	return nil
}

// acquireLease charges who for a mailbox.
func (b *box) acquireLease(who *account, pairing, reads bool) (lease *netlimit.Lease, reserve int64, err error) {
	if pairing {
		lease, err = who.class.pairings.Acquire(who.payer, pairingCost)
		return lease, pairingCost - boxCost, err
	}

	if reads || len(b.readers) > 0 || b.messages.reserved > 0 {
		reserve = reserveBytes
	}
	if who.ticket != nil {
		if err := who.ticket.addMailbox(); err != nil {
			return nil, 0, err
		}
	}

	lease, err = who.class.mailboxes.Acquire(who.payer, boxCost+reserve)
	if err != nil && who.ticket != nil {
		who.ticket.closeMailbox()
		who.ticket.removeMailbox()
	}

	return lease, reserve, err
}

// reserveRead adds the reserve that an admitted mailbox has once somebody reads it.
func (b *box) reserveRead(reads bool) error {
	if !reads || b.payer == nil || b.reserve > 0 {
		return nil
	}
	if err := b.lease.Grow(reserveBytes); err != nil {
		return err
	}
	b.reserve = reserveBytes
	return nil
}

// reopen undoes close.
func (b *box) reopen() error {
	if b.payer.ticket != nil {
		if err := b.payer.ticket.reopenMailbox(); err != nil {
			return err
		}
	}
	b.closed = false
	return nil
}

// close ends the admission, except for the payer's own last messages. It deletes the messages of others.
func (b *box) close(now time.Time) (deleted int) {
	if b.payer == nil || b.closed {
		return 0
	}
	b.lapse()
	b.emptied++
	deleted = b.messages.retain(func(m *message) bool { return m.own })
	b.messages.shorten(now.Add(closedLife))
	return deleted
}

// lapse makes a mailbox whose payer stays away accept no more messages. Readers may still fetch those that wait.
func (b *box) lapse() {
	b.closed = true
	if b.payer.ticket != nil {
		b.payer.ticket.closeMailbox()
	}
}

// revoke ends the admission at once, and deletes all messages. None of the payer's holders can pay any more.
func (b *box) revoke() (deleted int) {
	for _, h := range b.holders {
		if h.account.samePayer(b.payer) {
			h.account = nil
		}
	}

	b.emptied++
	deleted = b.messages.retain(func(*message) bool { return false })
	b.vacate()
	return deleted
}

// vacate leaves the mailbox without a payer. No message may depend on the lease, unless the caller sets another lease.
func (b *box) vacate() {
	if b.payer == nil {
		return
	}
	b.lease.Release()
	if t := b.payer.ticket; t != nil {
		if !b.closed {
			t.closeMailbox()
		}
		t.removeMailbox()
	}
	b.payer, b.lease, b.reserve, b.paying, b.closed, b.pairing = nil, nil, 0, 0, false, false
}

// findSuccessor makes another holder pay after the payer has left for good, and reports whether there is one.
func (b *box) findSuccessor(now time.Time) bool {
	for _, reads := range []bool{true, false} {
		for _, h := range b.holders {
			if h.account != nil && !h.account.samePayer(b.payer) && (h.reader != nil) == reads {
				return b.admit(h.account, false, reads, now) == nil
			}
		}
	}
	return false
}

// absent reports whether the payer has been away long enough for the admission to end.
func (b *box) absent(now time.Time) bool {
	if b.payer == nil || b.paying > 0 {
		return false
	}
	allowed := min(max(b.left.Sub(b.since), minAbsence), maxAbsence)
	return now.Sub(b.left) > allowed
}

// addReader adds a reader, and removes the holder's earlier one. If there are then too many, it removes the oldest and
// returns it.
func (b *box) addReader(h *holder, r *reader) (replaced *reader) {
	b.removeReader(h)
	h.reader = r
	b.readers = append(b.readers, r)
	if len(b.readers) > readersPerBox {
		replaced = b.readers[0]
		b.readers = slices.Delete(b.readers, 0, 1)
	}

	return replaced
}

func (b *box) removeHolder(h *holder) {
	b.removeReader(h)
	h.count(false)
	b.holders = slices.DeleteFunc(b.holders, func(o *holder) bool { return o == h })
}

func (b *box) removeReader(h *holder) {
	if h.reader == nil {
		return
	}
	b.readers = slices.DeleteFunc(b.readers, func(r *reader) bool { return r == h.reader })
	h.reader = nil
}

// chargeMessage charges a message to the mailbox's reserve or to its payer.
func (b *box) chargeMessage(m *message, ttl time.Duration) (err error) {
	q := &b.messages
	m.cost = messageCost(m.body)
	if q.count >= messagesPerBox || q.bytes+m.cost > bytesPerBox {
		return netlimit.ErrShare
	}

	if t := b.payer.ticket; t != nil {
		if err := t.addBytes(q.bytes, m.cost); err != nil {
			return err
		}
		m.ticket = t
	}

	if q.reserved+m.cost <= b.reserve {
		return nil
	}
	pool := b.payer.class.lasting
	if ttl <= briefTTL {
		pool = b.payer.class.brief
	}
	if m.lease, err = pool.Acquire(b.payer.payer, m.cost); err != nil && m.ticket != nil {
		m.ticket.removeBytes(m.cost)
	}
	return err
}

// restore adds what an earlier process has left in the mail store, and returns the readers that have to read anew.
// Nothing that was acknowledged is refused: what exceeds a quota counts as part of the mailbox's reserve.
func (b *box) restore(waiting []mail.Message, now time.Time) (behind []*reader) {
	b.restored = true
	for _, w := range waiting {
		ttl := w.Expires.Sub(now)
		if ttl <= 0 {
			continue
		}
		m := &message{seq: b.next, body: w.Body, expires: w.Expires, own: w.Own, id: w.ID}
		b.next++
		if b.chargeMessage(m, ttl) != nil {
			m.lease, m.ticket = nil, nil
		}
		b.messages.countMessage(m, 1)
		b.messages.push(m)
	}

	b.posted += b.messages.count
	if b.messages.count > 0 {
		for _, r := range b.readers {
			r.live.Store(false)
			behind = append(behind, r)
		}
	}
	return behind
}
