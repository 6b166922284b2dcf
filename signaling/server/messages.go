package server

import (
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

// message is a message that waits in a mailbox.
type message struct {
	next    *message
	seq     uint64
	body    []byte
	expires time.Time
	lease   *netlimit.Lease // nil if the mailbox's reserve pays for it
	ticket  *ticket         // the ticket that counts its bytes; nil if none does
	cost    int64
	id      uint64 // names it in the mail store; 0 if it is not there, or is about to expire there
	emptied uint32 // the mailbox's, when it was posted
	own     bool   // the payer posted it
	earlier bool   // it expires earlier than the mail store knows
}

// kept reports whether the message waits in its mailbox, and is not only for who is there.
func (m *message) kept() bool { return !m.expires.IsZero() }

// messages holds the messages that wait in one mailbox, in order. The mutex of the mailbox's shard must be held.
type messages struct {
	first, last *message
	count       int   // including those that are being stored
	bytes       int64 // what they cost
	reserved    int64 // the part for which the mailbox's reserve pays
	stats       *Stats
	shard       *shard
	name        *signaling.Name // the mailbox's
}

// stored names a message in the mail store.
type stored struct {
	name signaling.Name
	id   uint64
}

// push adds a message that has been counted.
func (q *messages) push(m *message) {
	if q.last == nil {
		q.first = m
	} else {
		q.last.next = m
	}
	q.last = m
}

// countMessage adds a message to the counts, or removes it if sign is -1.
func (q *messages) countMessage(m *message, sign int) {
	cost := m.cost * int64(sign)
	q.count += sign
	q.bytes += cost
	q.stats.StoredBytes.Add(cost)
	if m.lease == nil {
		q.reserved += cost
	}
}

// retain deletes the messages for which want returns false, and returns how many it has deleted.
func (q *messages) retain(want func(*message) bool) (deleted int) {
	link, last := &q.first, (*message)(nil)
	for m := q.first; m != nil; m = m.next {
		if want(m) {
			link, last = &m.next, m
			continue
		}

		*link = m.next
		q.discard(m)
		deleted++
	}

	q.last = last
	return deleted
}

// discard gives back what was paid for a message, and notes that it must be deleted from the mail store.
func (q *messages) discard(m *message) {
	q.countMessage(m, -1)
	if m.lease != nil {
		m.lease.Release()
	}
	if m.ticket != nil {
		m.ticket.removeBytes(m.cost)
	}
	if m.id != 0 {
		q.shard.erased = append(q.shard.erased, stored{*q.name, m.id})
	}
}

// expire deletes expired messages. In the mail store, they expire by themselves.
func (q *messages) expire(now time.Time) {
	deleted := q.retain(func(m *message) bool {
		expired := !now.Before(m.expires)
		if expired && !m.earlier {
			m.id = 0
		}
		return !expired
	})
	q.stats.Expired.Add(int64(deleted))
}

// shorten makes every message expire at until at the latest.
func (q *messages) shorten(until time.Time) {
	for m := q.first; m != nil; m = m.next {
		if m.expires.After(until) {
			m.expires, m.earlier = until, true
		}
	}
}
