package server

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/mail"
)

const (
	messagesPerBox  = 256
	bytesPerBox     = 1 << 20
	maxUnpublished  = 256
	pairingMessages = 8
	pairingBody     = 8192

	shards = 64
)

// store holds the mailboxes in memory. An account pays for everything in them. If there is a mail store, the messages
// are there, too, and a mailbox gets back what an earlier process has left there when somebody admits it.
//
// All operations on one mailbox happen in order, under the mutex of its shard. While it holds that mutex, the store
// calls only the pools. It publishes messages afterwards, in the same order, and talks to the mail store before or
// afterwards.
type store struct {
	node  string // the name of this node
	bus   bus.Bus
	mail  mail.Store // nil if messages are kept in memory alone
	stats *Stats
	shard [shards]shard
}

type shard struct {
	mu     sync.Mutex
	boxes  map[signaling.Name]*box // guarded by mu, together with everything in them
	erased []stored                // guarded by mu; to be deleted from the mail store once mu is unlocked
}

func newStore(stats *Stats, to bus.Bus, in mail.Store, node string) *store {
	s := &store{node: node, bus: to, mail: in, stats: stats}
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
	errNoMail      = &signaling.Error{
		Code: signaling.CodeClosing,
		Text: "the relay cannot store messages now: try another relay, or this one later",
	}
)

// lockShard locks and returns the shard of a mailbox. The caller must call unlockShard.
func (s *store) lockShard(name signaling.Name) *shard {
	sh := &s.shard[name[0]%shards]
	sh.mu.Lock()
	return sh
}

// unlockShard unlocks a shard, and deletes from the mail store what was deleted from the shard's mailboxes. What cannot
// be deleted there now is deleted later, or expires.
func (s *store) unlockShard(sh *shard) {
	erased := sh.erased
	sh.erased = nil
	sh.mu.Unlock()

	for _, e := range erased {
		if s.mail.Delete(e.name, e.id) != nil {
			s.stats.NotErased.Add(1)
		}
	}
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
	sh, waiting, err := s.lockToOpen(name, o.who != nil)
	if err != nil {
		return nil, refusalOf(err)
	}
	var behind []*reader
	defer func() {
		s.unlockShard(sh)
		for _, r := range behind {
			r.conn.out.addReplay(r)
		}
	}()

	b := sh.boxes[name]
	if o.proof && (b == nil || !b.admitted()) {
		return nil, errNotAdmitted
	}
	if b != nil && o.pairing {
		o.who, o.pairing = nil, false // the public must not change a mailbox that exists
	}
	if b == nil {
		b = &box{
			name:  name,
			since: now,
			left:  now,
			next:  rand.Uint64() >> 2,
		}
		b.messages = messages{stats: s.stats, shard: sh, name: &b.name}

		sh.boxes[name] = b
		s.stats.Mailboxes.Add(1)
	}

	reads := o.reader != nil
	if b.takesOver(o.who, reads) {
		err = b.admit(o.who, o.pairing, reads, now)
	} else {
		err = b.reserveRead(reads)
	}
	if err != nil {
		s.cleanUp(sh, b)
		return nil, errQuota
	}
	if b.admitted() && !b.restored {
		behind = b.restore(waiting, now)
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

// lockToOpen locks the shard of a mailbox that a client opens. If the client may pay for the mailbox, and the mailbox
// has not got back what an earlier process has left in the mail store, lockToOpen returns that.
func (s *store) lockToOpen(name signaling.Name, pays bool) (sh *shard, waiting []mail.Message, err error) {
	for fetched := !pays || s.mail == nil; ; fetched = true {
		sh := s.lockShard(name)
		if b := sh.boxes[name]; fetched || b != nil && b.restored {
			return sh, waiting, nil
		}
		s.unlockShard(sh)

		if waiting, err = s.mail.Waiting(name); err != nil {
			return nil, nil, err
		}
	}
}

// refusalOf returns what a client is told of an error of the mail store.
func refusalOf(err error) *signaling.Error {
	if errors.Is(err, mail.ErrMailboxFull) {
		return errQuota
	}
	return errNoMail
}

// closeBox removes a holder. gone means that its connection has ended and it may come back; otherwise it gave up the
// mailbox. closeBox returns the account whose admission ends with that, or nil.
func (s *store) closeBox(name signaling.Name, h *holder, gone bool, now time.Time) (ended *account) {
	sh := s.lockShard(name)
	defer s.unlockShard(sh)

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
	defer s.unlockShard(sh)

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

// post stores a message for ttl, and then numbers and publishes it.
func (s *store) post(name signaling.Name, h *holder, body []byte, ttl time.Duration, now time.Time) *signaling.Error {
	b, m, refused := s.reserve(name, h, body, ttl, now)
	if refused != nil {
		return refused
	}
	var err error
	if m.kept() && s.mail != nil {
		m.id, err = s.mail.Put(name, mail.Message{Body: m.body, Expires: m.expires, Own: m.own})
	}

	sh := s.lockShard(name)
	refused = s.commit(sh, b, m, err)
	publish := refused == nil && !b.publishing
	if publish {
		b.publishing = true
	}
	s.unlockShard(sh)

	if publish {
		s.publish(sh, b)
	}
	return refused
}

// reserve charges for a message that is to be posted, and counts it. The caller must call commit.
func (s *store) reserve(name signaling.Name, h *holder, body []byte, ttl time.Duration,
	now time.Time) (*box, *message, *signaling.Error) {
	sh := s.lockShard(name)
	defer s.unlockShard(sh)

	b := sh.boxes[name]
	if b == nil || !b.admitted() {
		return nil, nil, errNotAdmitted
	}
	if b.pairing {
		age := now.Sub(b.since)
		switch {
		case len(body) > pairingBody:
			return nil, nil, errTooLarge
		case b.posted >= pairingMessages || age >= pairingLife:
			return nil, nil, errQuota
		}
		ttl = min(ttl, pairingLife-age)
	}

	if len(b.unpublished) >= maxUnpublished {
		return nil, nil, errQuota
	}
	m := &message{body: bytes.Clone(body), own: h.account.samePayer(b.payer), emptied: b.emptied}
	if ttl > 0 {
		m.expires = now.Add(ttl)
		b.messages.expire(now)
		if b.chargeMessage(m, ttl) != nil {
			return nil, nil, errQuota
		}
		b.messages.countMessage(m, 1)
	}

	b.posted++
	return b, m, nil
}

// commit numbers a message and adds it to its mailbox, unless it could not be stored or the mailbox's admission has
// ended meanwhile. The shard's mutex must be held.
func (s *store) commit(sh *shard, b *box, m *message, storing error) (refused *signaling.Error) {
	switch {
	case storing != nil:
		refused = refusalOf(storing)
	case sh.boxes[b.name] != b || !b.admitted() || b.emptied != m.emptied:
		refused = errNotAdmitted
	case len(b.unpublished) >= maxUnpublished:
		refused = errQuota
	}
	if refused != nil {
		b.posted = max(0, b.posted-1)
		if m.kept() {
			b.messages.discard(m)
		}
		s.cleanUp(sh, b)
		return refused
	}

	m.seq = b.next
	b.next++
	if m.kept() {
		b.messages.push(m)
	}
	b.unpublished = append(b.unpublished, bus.Message{Seq: m.seq, Body: m.body, Kept: m.kept(), Node: s.node})
	return nil
}

// publish publishes a mailbox's unpublished messages until there are none. Only one goroutine at a time does so for a
// mailbox.
func (s *store) publish(sh *shard, b *box) {
	for {
		sh.mu.Lock()
		batch := b.unpublished
		b.unpublished = nil
		b.publishing = len(batch) > 0
		s.unlockShard(sh)

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
	defer s.unlockShard(sh)

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
	defer s.unlockShard(sh)

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
	defer s.unlockShard(sh)

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
		s.unlockShard(sh)
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
