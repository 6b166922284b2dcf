package evilcloud

import (
	"sync"
	"time"
)

// freshFor is how long a mailbox counts as waiting for an answer.
const freshFor = 20 * time.Second

// Mailboxes knows which mailboxes are being read.
type Mailboxes struct {
	mu    sync.Mutex
	read  map[[32]byte]*mailbox // guarded by mu
	old   map[[32]byte]struct{} // those that were read when the fault began; guarded by mu
	all   *shelf                // guarded by mu
	fresh *shelf                // may hold some that no longer are; guarded by mu
	asked *shelf                // fresh ones that an answer was posted to; guarded by mu
	nodes map[string]*shelf     // by the node where they are read; guarded by mu
}

// mailbox is one that is being read.
type mailbox struct {
	since   time.Time
	node    string // of the reader who came last
	readers int    // for a while, a device that comes back counts twice
}

func newMailboxes() *Mailboxes {
	return &Mailboxes{
		read:  make(map[[32]byte]*mailbox),
		all:   newShelf(),
		fresh: newShelf(),
		asked: newShelf(),
		nodes: make(map[string]*shelf),
	}
}

func (m *Mailboxes) open(name [32]byte, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.read[name]
	if b == nil {
		b = &mailbox{since: time.Now()}
		m.read[name] = b
		m.all.put(name)
		m.fresh.put(name)
	} else {
		m.nodes[b.node].take(name)
	}

	b.readers++
	b.node = node
	if m.nodes[node] == nil {
		m.nodes[node] = newShelf()
	}
	m.nodes[node].put(name)
}

func (m *Mailboxes) close(name [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.read[name]
	if b.readers--; b.readers > 0 {
		return
	}

	delete(m.read, name)
	m.all.take(name)
	m.fresh.take(name)
	m.asked.take(name)
	m.nodes[b.node].take(name)
}

// answerSize is more than any record of a session, and no more than any envelope.
const answerSize = 1500

// posted records that something was posted to a mailbox. A fresh mailbox that gets an answer is a viewer's.
func (m *Mailboxes) posted(name [32]byte, size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size >= answerSize && m.isFresh(name) {
		m.asked.put(name)
	}
}

// Fresh reports whether somebody has recently begun to read the mailbox.
func (m *Mailboxes) Fresh(name [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isFresh(name)
}

// isFresh is Fresh; m.mu must be held. A mailbox that was read before the fault began is a camera's of this day,
// however often the camera comes back.
func (m *Mailboxes) isFresh(name [32]byte) bool {
	b := m.read[name]
	_, old := m.old[name]
	return b != nil && !old && time.Since(b.since) < freshFor
}

// begin records that a fault begins.
func (m *Mailboxes) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.old = make(map[[32]byte]struct{}, len(m.read))
	for name := range m.read {
		m.old[name] = struct{}{}
	}
}

// Another returns some other mailbox that is being read.
func (m *Mailboxes) Another(than [32]byte) (name [32]byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all.other(than)
}

// AnotherFresh returns some other mailbox that somebody has recently begun to read, one that answers were posted to if
// there is any.
func (m *Mailboxes) AnotherFresh(than [32]byte) (name [32]byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range []*shelf{m.asked, m.fresh} {
		for {
			if name, ok = s.other(than); !ok {
				break
			}
			if m.isFresh(name) {
				return name, true
			}
			s.take(name)
		}
	}

	return name, false
}

// Elsewhere returns some mailbox that is being read at another node than this one.
func (m *Mailboxes) Elsewhere(than [32]byte) (name [32]byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	here := ""
	if b := m.read[than]; b != nil {
		here = b.node
	}

	for node, s := range m.nodes { // in no order
		if node != here {
			if name, ok = s.other(than); ok {
				return name, true
			}
		}
	}

	return name, false
}
