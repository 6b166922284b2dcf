package server

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

const (
	messagesPerBox  = 256
	bytesPerBox     = 1 << 20
	maxUnpublished  = 256
	pairingMessages = 8
	pairingBody     = 8192

	shards = 64
)

// store holds the mailboxes in memory. An account pays for everything in them.
//
// All operations on one mailbox happen in order, under the mutex of its shard. While it holds that mutex, the store
// calls only the pools. It publishes messages afterwards, in the same order.
type store struct {
	node  string // the name of this node
	bus   bus.Bus
	stats *Stats
	shard [shards]shard
}

type shard struct {
	mu    sync.Mutex
	boxes map[signaling.Name]*box // guarded by mu, together with everything in them
}

func newStore(stats *Stats, to bus.Bus, node string) *store {
	s := &store{node: node, bus: to, stats: stats}
	for i := range s.shard {
		s.shard[i].boxes = make(map[signaling.Name]*box)
	}
	return s
}

var (
	errNotOpened = &signaling.Error{
		Code: signaling.CodeNotOpened,
		Text: "mailbox is not open for writing on this connection",
	}
	errNotPaid = &signaling.Error{
		Code: signaling.CodeNotOpened,
		Text: "only the client that admitted a mailbox can revoke it",
	}
	errNotAdmitted = &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "no device has opened this mailbox"}
	errQuota       = &signaling.Error{Code: signaling.CodeQuota, Text: "quota used up: try again later"}
	errTooLarge    = &signaling.Error{Code: signaling.CodeTooLarge, Text: "message too large"}
)

// lockShard locks and returns the shard of a mailbox. The caller must unlock it.
func (s *store) lockShard(name signaling.Name) *shard {
	sh := &s.shard[name[0]%shards]
	sh.mu.Lock()
	return sh
}

// opening describes how a connection opens a mailbox.
type opening struct {
	first   bool     // the connection does not have it open yet
	who     *account // who admits it; nil if nobody does
	pairing bool     // it is a rendezvous mailbox
	proof   bool     // it must be admitted already, because the connection is to prove itself
	reader  *reader  // nil if it is opened for writing
}

// openBox opens a mailbox for a holder. It returns the reader that was replaced, or nil.
func (s *store) openBox(name signaling.Name, h *holder, o opening, now time.Time) (*reader, *signaling.Error) {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	b := sh.boxes[name]
	if o.proof && (b == nil || !b.admitted()) {
		return nil, errNotAdmitted
	}
	if b != nil && o.pairing {
		o.who, o.pairing = nil, false // the public must not change a mailbox that exists
	}
	if b == nil {
		b = &box{
			name:     name,
			since:    now,
			left:     now,
			next:     rand.Uint64() >> 2,
			messages: messages{stats: s.stats},
		}

		sh.boxes[name] = b
		s.stats.Mailboxes.Add(1)
	}

	reads := o.reader != nil
	var err error
	if b.takesOver(o.who, reads) {
		err = b.admit(o.who, o.pairing, reads, now)
	} else {
		err = b.reserveRead(reads)
	}
	if err != nil {
		s.cleanUp(sh, b)
		return nil, errQuota
	}

	if o.first {
		b.makeRoomOutside(h)
		b.holders = append(b.holders, h)
	}
	if o.who != nil {
		h.account = o.who
	}

	var replaced *reader
	if reads {
		replaced = b.addReader(h, o.reader)
	}
	b.countPayers(now)
	b.updateStandings()
	return replaced, nil
}

// closeBox removes a holder. gone means that its connection has ended and it may come back; otherwise it gave up the
// mailbox. closeBox returns the account whose admission ends with that, or nil.
func (s *store) closeBox(name signaling.Name, h *holder, gone bool, now time.Time) (ended *account) {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	b := sh.boxes[name]
	if b == nil {
		return nil
	}
	b.removeHolder(h)
	b.countPayers(now)
	if h.account.samePayer(b.payer) && !gone {
		ended = s.endAdmission(b, now)
	}

	b.updateStandings()
	s.cleanUp(sh, b)
	return ended
}

// endAdmission ends an admission after one of the payer's holders has closed the mailbox. A ticket stops paying for all
// holders, because a viewer who was removed but stays connected must not charge anything more to the camera. Without
// tickets, another holder pays from now on, if there is one. endAdmission returns the ticket's account if it has ended
// the ticket's admission, or nil.
func (s *store) endAdmission(b *box, now time.Time) (ended *account) {
	switch {
	case b.pairing:
	case b.payer.ticket != nil:
		ended = b.payer
		b.close(now)
	case b.paying > 0 || b.findSuccessor(now):
	case b.messages.count == 0:
		b.vacate()
	}

	b.countPayers(now)
	return ended
}

// cleanUp ends a closed admission once no message waits, and forgets a mailbox that nobody needs.
func (s *store) cleanUp(sh *shard, b *box) {
	if b.closed && b.messages.count == 0 {
		b.vacate()
	}
	if len(b.holders) > 0 || b.payer != nil || sh.boxes[b.name] != b {
		return
	}
	delete(sh.boxes, b.name)
	s.stats.Mailboxes.Add(-1)
}

// revoke stops a holder's account from paying for a mailbox. It returns the account if it was the payer, or nil.
func (s *store) revoke(name signaling.Name, h *holder, now time.Time) (ended *account, refused *signaling.Error) {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	b := sh.boxes[name]
	switch {
	case b == nil || h.account == nil:
		return nil, errNotPaid
	case h.account.samePayer(b.payer):
		ended = b.payer
		b.revoke()
	}

	h.account = nil
	b.countPayers(now)
	b.updateStandings()
	s.cleanUp(sh, b)
	return ended, nil
}

// post numbers a message, stores it for ttl, and publishes it.
func (s *store) post(name signaling.Name, h *holder, body []byte, ttl time.Duration, now time.Time) *signaling.Error {
	sh := s.lockShard(name)
	b := sh.boxes[name]
	err := s.accept(b, h, body, ttl, now)
	publish := err == nil && !b.publishing
	if publish {
		b.publishing = true
	}
	sh.mu.Unlock()

	if publish {
		s.publish(sh, b)
	}
	return err
}

// accept is the part of post under the shard's mutex, which must be held.
func (s *store) accept(b *box, h *holder, body []byte, ttl time.Duration, now time.Time) *signaling.Error {
	if b == nil || b.payer == nil || b.closed {
		return errNotAdmitted
	}
	if b.pairing {
		age := now.Sub(b.since)
		switch {
		case len(body) > pairingBody:
			return errTooLarge
		case b.posted >= pairingMessages || age >= pairingLife:
			return errQuota
		}
		ttl = min(ttl, pairingLife-age)
	}

	if len(b.unpublished) >= maxUnpublished {
		return errQuota
	}
	body = bytes.Clone(body)
	if ttl > 0 {
		m := &message{seq: b.next, body: body, expires: now.Add(ttl), own: h.account.samePayer(b.payer)}
		b.messages.expire(now)
		if b.chargeMessage(m, ttl) != nil {
			return errQuota
		}
		b.messages.push(m)
	}

	b.unpublished = append(b.unpublished, bus.Message{Seq: b.next, Body: body, Kept: ttl > 0, Node: s.node})
	b.posted++
	b.next++
	return nil
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

// publish publishes a mailbox's unpublished messages until there are none. Only one goroutine at a time does so for a
// mailbox.
func (s *store) publish(sh *shard, b *box) {
	for {
		sh.mu.Lock()
		batch := b.unpublished
		b.unpublished = nil
		b.publishing = len(batch) > 0
		sh.mu.Unlock()

		if len(batch) == 0 {
			return
		}
		for _, m := range batch {
			s.bus.Publish(b.name, m)
		}
	}
}

func (s *store) ack(name signaling.Name, seq uint64) {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	if b := sh.boxes[name]; b != nil {
		deleted := b.messages.retain(func(m *message) bool { return m.seq != seq })
		s.stats.Acked.Add(int64(deleted))
		s.cleanUp(sh, b)
	}
}

// next returns up to n waiting messages, beginning with sequence number from. If there are none, it calls settled
// before anybody can post another message.
func (s *store) next(name signaling.Name, from uint64, n int, now time.Time, settled func()) []bus.Message {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	var out []bus.Message
	if b := sh.boxes[name]; b != nil {
		b.messages.expire(now)
		for m := b.messages.first; m != nil && len(out) < n; m = m.next {
			if m.seq >= from {
				out = append(out, bus.Message{Seq: m.seq, Body: m.body, Kept: true, Node: s.node})
			}
		}
	}

	if len(out) == 0 {
		settled()
	}
	return out
}

// payerOf returns who pays for a session for which a client asks through a mailbox: the account that admitted the
// mailbox, while that account is connected. A session needs a device that is present; one that was removed or has left
// must cost nobody anything.
func (s *store) payerOf(name signaling.Name) (*account, *signaling.Error) {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()

	b := sh.boxes[name]
	if b == nil || b.payer == nil || b.closed || b.pairing || b.paying == 0 {
		return nil, errNotAdmitted
	}
	return b.payer, nil
}

// sweep removes everything that has expired.
func (s *store) sweep(now time.Time) {
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		for _, b := range sh.boxes {
			s.expireBox(b, now)
			s.cleanUp(sh, b)
		}
		sh.mu.Unlock()
	}
}

// expireBox removes what has expired in one mailbox, and ends its admission if that has expired.
func (s *store) expireBox(b *box, now time.Time) {
	b.messages.expire(now)
	switch {
	case b.pairing && now.Sub(b.since) >= pairingLife:
		b.messages.retain(func(*message) bool { return false })
		b.vacate()
	case b.absent(now) && !b.findSuccessor(now) && b.messages.count == 0:
		b.vacate()
	case b.absent(now) && !b.closed:
		b.lapse()
	}
	b.countPayers(now)
	b.updateStandings()
}
