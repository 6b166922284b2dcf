package server

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

const (
	mailboxIdle     = 48 * time.Hour // admission outlives the last connection by this: two of a pair's days
	messagesPerBox  = 256
	bytesPerBox     = 1 << 20
	pairingLife     = 10 * time.Minute
	pairingMessages = 8
	pairingBody     = 8192
)

type box struct {
	account  *account // who admitted it; nil: nobody
	pairing  bool
	disowned bool // who admitted it gave it up
	posted   int  // of a pairing mailbox, ever
	since    time.Time
	used     time.Time // when the last connection left
	holders  int       // connections that have it open
	next     uint64    // sequence number of the next message; starts at random, so that an ack from before a restart hits nothing
	bytes    int
	messages []message
}

type message struct {
	seq     uint64
	body    []byte
	node    string // where it was posted
	expires time.Time
}

// store is the mailboxes, in memory. Everything is bounded: per mailbox, per account, and in all.
type store struct {
	mu       sync.Mutex
	boxes    map[signaling.Name]*box // guarded by mu
	accounts map[string]*account     // guarded by mu
	maxBytes int64
	stats    *Stats
	node     string // this one
}

func newStore(stats *Stats, maxBytes int64, node string) *store {
	return &store{node: node, boxes: make(map[signaling.Name]*box), accounts: make(map[string]*account), maxBytes: maxBytes, stats: stats}
}

var (
	errNotOpened   = &signaling.Error{Code: signaling.CodeNotOpened, Text: "mailbox is not open for writing on this connection"}
	errNotAdmitted = &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "no device has opened this mailbox"}
	errQuota       = &signaling.Error{Code: signaling.CodeQuota, Text: "quota used up: try again later"}
	errTooLarge    = &signaling.Error{Code: signaling.CodeTooLarge, Text: "message too large"}
)

// open lets a connection at a mailbox, the first time as one more holder. who admits it; nil: nobody does yet.
func (s *store) open(name signaling.Name, first bool, who *account, now time.Time) *signaling.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil {
		b = &box{since: now, next: rand.Uint64() >> 2}
		s.boxes[name] = b
		s.stats.Mailboxes.Add(1)
	}
	if who != nil {
		if err := s.admit(b, who); err != nil {
			s.dropIfEmpty(name, b)
			return err
		}
	}
	if first {
		b.holders++
	}
	return nil
}

// admit has who pay for a mailbox that nobody pays for, or that was only a rendezvous. A ticket's newest limits hold.
func (s *store) admit(b *box, who *account) *signaling.Error {
	b.disowned = false
	if a := s.accounts[who.key]; a != nil {
		a.maxBoxes, a.maxGrants = who.maxBoxes, who.maxGrants
		who = a
	}
	if b.account != nil && (!b.pairing || who.pairing) {
		return nil
	}
	if who.boxes >= who.maxBoxes && !who.local {
		return errQuota
	}
	s.accounts[who.key] = who
	if old := b.account; old != nil {
		old.boxes--
		old.bytes -= b.bytes
	}
	b.account, b.pairing = who, who.pairing
	who.boxes++
	who.bytes += b.bytes
	return nil
}

// disown ends the admission of a mailbox whose owner gave it up, as soon as nothing waits in it: a viewer who was removed and
// stays connected can have nothing more charged to the camera, and the mailboxes of sessions that are over cost no quota.
func (s *store) disown(name signaling.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[name]; b != nil {
		b.disowned = true
		s.settle(name, b)
	}
}

// settle ends an admission that was given up, and forgets a mailbox that is of no more use.
func (s *store) settle(name signaling.Name, b *box) {
	if b.disowned && b.account != nil && len(b.messages) == 0 {
		b.account.boxes--
		b.account = nil
	}
	s.dropIfEmpty(name, b)
}

func (s *store) leave(name signaling.Name, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[name]; b != nil {
		b.holders--
		b.used = now
		s.settle(name, b)
	}
}

// dropIfEmpty forgets a mailbox that nobody is at and that nobody admitted; then nothing can wait in it.
func (s *store) dropIfEmpty(name signaling.Name, b *box) {
	if b.holders == 0 && b.account == nil {
		s.drop(name, b)
	}
}

func (s *store) drop(name signaling.Name, b *box) {
	s.keep(b, func(message) bool { return false })
	delete(s.boxes, name)
	s.stats.Mailboxes.Add(-1)
	if b.account != nil {
		b.account.boxes--
	}
}

// post numbers a message, keeps it for ttl, and publishes it; under the lock, so that the order is one for all.
func (s *store) post(name signaling.Name, body []byte, ttl time.Duration, now time.Time, to bus.Bus) *signaling.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil || b.account == nil {
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
	m := message{seq: b.next, body: bytes.Clone(body), node: s.node, expires: now.Add(ttl)}
	if ttl > 0 {
		s.expire(b, now)
		if !s.room(b, len(body)) {
			return errQuota
		}
		b.messages = append(b.messages, m)
		s.weigh(b, len(body))
	}
	b.posted++
	b.next++
	to.Publish(name, bus.Message{Seq: m.seq, Body: m.body, Kept: ttl > 0, Node: m.node})
	return nil
}

func (s *store) room(b *box, n int) bool {
	return len(b.messages) < messagesPerBox && b.bytes+n <= bytesPerBox &&
		(b.account.local || b.account.bytes+n <= bytesPerAccount) && s.stats.StoredBytes.Load()+int64(n) <= s.maxBytes
}

func (s *store) weigh(b *box, n int) {
	b.bytes += n
	if b.account != nil {
		b.account.bytes += n
	}
	s.stats.StoredBytes.Add(int64(n))
}

// keep removes the messages that want does not want, and says how many.
func (s *store) keep(b *box, want func(message) bool) (removed int) {
	kept := b.messages[:0]
	for _, m := range b.messages {
		if want(m) {
			kept = append(kept, m)
			continue
		}
		s.weigh(b, -len(m.body))
		removed++
	}
	clear(b.messages[len(kept):])
	b.messages = kept
	return removed
}

func (s *store) expire(b *box, now time.Time) {
	n := s.keep(b, func(m message) bool { return now.Before(m.expires) })
	s.stats.Expired.Add(int64(n))
}

func (s *store) ack(name signaling.Name, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[name]; b != nil {
		n := s.keep(b, func(m message) bool { return m.seq != seq })
		s.stats.Acked.Add(int64(n))
		s.settle(name, b)
	}
}

// next returns up to n messages that wait from sequence number from on. When there are none it calls settled, with no post between.
func (s *store) next(name signaling.Name, from uint64, n int, now time.Time, settled func()) []bus.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []bus.Message
	if b := s.boxes[name]; b != nil {
		s.expire(b, now)
		for _, m := range b.messages {
			if m.seq >= from && len(out) < n {
				out = append(out, bus.Message{Seq: m.seq, Body: m.body, Kept: true, Node: m.node})
			}
		}
	}
	if len(out) == 0 {
		settled()
	}
	return out
}

// charge takes one grant from whoever admitted the mailbox, and returns who that is, "" for one whom no limit binds.
func (s *store) charge(name signaling.Name, now time.Time) (payer string, refused *signaling.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil || b.account == nil || b.pairing {
		return "", errNotAdmitted
	}
	if !b.account.grant(now) {
		return "", errQuota
	}
	if b.account.local {
		return "", nil
	}
	return b.account.key, nil
}

// sweep forgets what has expired.
func (s *store) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.boxes {
		s.expire(b, now)
		s.settle(name, b)
		if s.boxes[name] == nil {
			continue
		}
		over := b.pairing && now.Sub(b.since) >= pairingLife
		if b.holders == 0 && (over || len(b.messages) == 0 && now.Sub(b.used) > mailboxIdle) {
			s.drop(name, b)
		}
	}
	for key, a := range s.accounts {
		if a.idle(now) {
			delete(s.accounts, key)
		}
	}
}
