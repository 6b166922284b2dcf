package server

import (
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
	boxesPerAccount = 10_000
	grantsPerHour   = 3600
)

// account is who pays: a ticket, or a source address where everyone is admitted.
type account struct {
	key         string
	maxBoxes    int // mailboxes admitted at one time
	maxGrants   int // an hour
	boxes       int
	grants      int
	grantsSince time.Time
	local       bool // this machine: for tests and development, not limited
}

type box struct {
	account  *account // who admitted it; nil: nobody
	pairing  bool
	posted   int // of a pairing mailbox, ever
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
	expires time.Time
}

// store is the mailboxes. Everything is bounded: per mailbox, and per account.
type store struct {
	mu       sync.Mutex
	boxes    map[signaling.Name]*box // guarded by mu
	accounts map[string]*account     // guarded by mu
	stats    *Stats
}

func newStore(stats *Stats) *store {
	return &store{boxes: make(map[signaling.Name]*box), accounts: make(map[string]*account), stats: stats}
}

var (
	errNotAdmitted = &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "no device has opened this mailbox"}
	errQuota       = &signaling.Error{Code: signaling.CodeQuota, Text: "quota used up: try again later"}
	errTooLarge    = &signaling.Error{Code: signaling.CodeTooLarge, Text: "message too large"}
)

// open notes one more connection at a mailbox. who is nil for a client that may not admit it.
func (s *store) open(name signaling.Name, who *account, pairing bool, now time.Time) *signaling.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil {
		b = &box{since: now, next: rand.Uint64() >> 2, pairing: pairing}
		s.boxes[name] = b
		s.stats.Mailboxes.Add(1)
	}
	if b.account == nil && who != nil {
		if who = s.accountOf(who); who.boxes >= who.maxBoxes && !who.local {
			s.dropIfEmpty(name, b)
			return errQuota
		}
		b.account = who
		who.boxes++
	}
	b.holders++
	return nil
}

func (s *store) accountOf(who *account) *account {
	if a := s.accounts[who.key]; a != nil {
		return a
	}
	s.accounts[who.key] = who
	return who
}

func (s *store) leave(name signaling.Name, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[name]; b != nil {
		b.holders--
		b.used = now
		s.dropIfEmpty(name, b)
	}
}

// dropIfEmpty forgets a mailbox that nobody is at and that nobody admitted.
func (s *store) dropIfEmpty(name signaling.Name, b *box) {
	if b.holders == 0 && b.account == nil && len(b.messages) == 0 {
		s.drop(name, b)
	}
}

func (s *store) drop(name signaling.Name, b *box) {
	delete(s.boxes, name)
	s.stats.Mailboxes.Add(-1)
	if a := b.account; a != nil {
		if a.boxes--; a.boxes == 0 && a.grants == 0 {
			delete(s.accounts, a.key)
		}
	}
}

// post numbers a message, keeps it for ttl, and publishes it; under the lock, so that the order is one for all.
func (s *store) post(name signaling.Name, body []byte, ttl time.Duration, now time.Time, b bus.Bus) *signaling.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.boxes[name]
	if box == nil || box.account == nil {
		return errNotAdmitted
	}
	if box.pairing {
		if len(body) > pairingBody {
			return errTooLarge
		}
		if box.posted++; box.posted > pairingMessages || now.Sub(box.since) > pairingLife {
			return errQuota
		}
		ttl = min(ttl, pairingLife-now.Sub(box.since))
	}
	m := message{seq: box.next, body: body, expires: now.Add(ttl)}
	if ttl > 0 {
		box.expire(now, s.stats)
		if len(box.messages) >= messagesPerBox || box.bytes+len(body) > bytesPerBox {
			return errQuota
		}
		box.messages = append(box.messages, m)
		box.bytes += len(body)
	}
	box.next++
	b.Publish(name, bus.Message{Seq: m.seq, Body: body})
	return nil
}

// attach calls subscribe and hands over what waits, with no message between lost or doubled.
func (s *store) attach(name signaling.Name, now time.Time, subscribe func(), each func(bus.Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[name]; b != nil {
		b.expire(now, s.stats)
		for _, m := range b.messages {
			each(bus.Message{Seq: m.seq, Body: m.body})
		}
	}
	subscribe()
}

func (s *store) ack(name signaling.Name, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil {
		return
	}
	for i, m := range b.messages {
		if m.seq == seq {
			b.bytes -= len(m.body)
			b.messages = append(b.messages[:i], b.messages[i+1:]...)
			s.stats.Acked.Add(1)
			return
		}
	}
}

// charge takes one grant from whoever admitted the mailbox.
func (s *store) charge(name signaling.Name, now time.Time) *signaling.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[name]
	if b == nil || b.account == nil || b.pairing {
		return errNotAdmitted
	}
	a := b.account
	if now.Sub(a.grantsSince) > time.Hour {
		a.grantsSince, a.grants = now, 0
	}
	if a.grants >= a.maxGrants && !a.local {
		return errQuota
	}
	a.grants++
	return nil
}

func (b *box) expire(now time.Time, stats *Stats) {
	kept := b.messages[:0]
	for _, m := range b.messages {
		if now.After(m.expires) {
			b.bytes -= len(m.body)
			stats.Expired.Add(1)
			continue
		}
		kept = append(kept, m)
	}
	clear(b.messages[len(kept):])
	b.messages = kept
}

// sweep forgets what has expired.
func (s *store) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.boxes {
		b.expire(now, s.stats)
		over := b.pairing && now.Sub(b.since) > pairingLife
		if over {
			b.messages, b.bytes = nil, 0
		}
		if b.holders == 0 && (over || len(b.messages) == 0 && now.Sub(b.used) > mailboxIdle) {
			s.drop(name, b)
		}
	}
	for key, a := range s.accounts {
		if a.boxes == 0 && now.Sub(a.grantsSince) > time.Hour {
			delete(s.accounts, key)
		}
	}
}
