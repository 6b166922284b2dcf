package evilcloud

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Delivery is a fault of delivering: it is given every message, and says where it goes and as what. nil is an honest cloud.
type Delivery func(to *Mailboxes, name [32]byte, m bus.Message) []Parcel

// Parcel is a message on its way to a mailbox.
type Parcel struct {
	Name    [32]byte
	Message bus.Message
}

// CrossAnswers delivers what is meant for one of the mailboxes that somebody has just begun to read, as one does who waits for an answer, to
// another of those: requests reach the right camera, and answers the wrong person.
func CrossAnswers(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	if !to.Fresh(name) {
		return []Parcel{{name, m}}
	}
	if other, ok := to.AnotherFresh(name); ok {
		return []Parcel{{other, m}}
	}
	return nil // lost, rather than right
}

// CrossAll delivers every message to some other mailbox that somebody reads.
func CrossAll(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	if other, ok := to.Another(name); ok {
		return []Parcel{{other, m}}
	}
	return nil
}

// freshFor is how long a mailbox counts as one that waits for an answer.
const freshFor = 20 * time.Second

// delivery is a bus that all nodes share, with a fault in it.
type delivery struct {
	*bus.Local
	mailboxes           *Mailboxes
	fault               atomic.Pointer[Delivery]
	deliveries, crossed atomic.Int64
}

func newDelivery() *delivery {
	return &delivery{Local: bus.NewLocal(), mailboxes: &Mailboxes{since: make(map[[32]byte]time.Time), all: newShelf(), fresh: newShelf()}}
}

func (d *delivery) set(f Delivery) {
	if f == nil {
		d.fault.Store(nil)
		return
	}
	d.fault.Store(&f)
}

// Publish implements bus.Bus.
func (d *delivery) Publish(name [32]byte, m bus.Message) (receivers int) {
	d.deliveries.Add(1)
	f := d.fault.Load()
	if f == nil {
		return d.Local.Publish(name, m)
	}
	for _, p := range (*f)(d.mailboxes, name, m) {
		n := d.Local.Publish(p.Name, p.Message)
		if p.Name != name && n > 0 {
			d.crossed.Add(1)
		}
		receivers += n
	}
	return receivers
}

// Subscribe implements bus.Bus.
func (d *delivery) Subscribe(name [32]byte, f func(bus.Message)) (stop func()) {
	d.mailboxes.open(name)
	stopping := d.Local.Subscribe(name, f)
	return func() {
		stopping()
		d.mailboxes.close(name)
	}
}

// Mailboxes is which mailboxes are being read.
type Mailboxes struct {
	mu    sync.Mutex
	since map[[32]byte]time.Time // guarded by mu
	all   *shelf                 // guarded by mu
	fresh *shelf                 // guarded by mu; may hold some that are no longer
}

func (m *Mailboxes) open(name [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since[name] = time.Now()
	m.all.put(name)
	m.fresh.put(name)
}

func (m *Mailboxes) close(name [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.since, name)
	m.all.take(name)
	m.fresh.take(name)
}

// Fresh says whether somebody has begun to read the mailbox a short while ago.
func (m *Mailboxes) Fresh(name [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isFresh(name)
}

// isFresh is called with mu held.
func (m *Mailboxes) isFresh(name [32]byte) bool {
	since, ok := m.since[name]
	return ok && time.Since(since) < freshFor
}

// Another is some other mailbox that is being read.
func (m *Mailboxes) Another(than [32]byte) (name [32]byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all.other(than)
}

// AnotherFresh is some other mailbox that somebody has begun to read a short while ago.
func (m *Mailboxes) AnotherFresh(than [32]byte) (name [32]byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		name, ok = m.fresh.other(than)
		if !ok || m.isFresh(name) {
			return name, ok
		}
		m.fresh.take(name)
	}
}

// shelf is a set of names from which one can be taken at random, in constant time.
type shelf struct {
	names []([32]byte)
	place map[[32]byte]int
}

func newShelf() *shelf { return &shelf{place: make(map[[32]byte]int)} }

func (s *shelf) put(name [32]byte) {
	if _, there := s.place[name]; !there {
		s.place[name] = len(s.names)
		s.names = append(s.names, name)
	}
}

func (s *shelf) take(name [32]byte) {
	at, there := s.place[name]
	if !there {
		return
	}
	last := s.names[len(s.names)-1]
	s.names[at], s.place[last] = last, at
	s.names = s.names[:len(s.names)-1]
	delete(s.place, name)
}

// other is a name at random that is not than.
func (s *shelf) other(than [32]byte) (name [32]byte, ok bool) {
	n := len(s.names)
	at, there := s.place[than]
	if there {
		n--
	}
	if n <= 0 {
		return name, false
	}
	i := rand.IntN(n)
	if there && i >= at {
		i++
	}
	return s.names[i], true
}
