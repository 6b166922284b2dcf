package evilcloud

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Delivery is a fault of delivering: it is given every message, and says where it goes and as what. nil is an honest cloud. It is called while the
// posting node's store is locked, so it must not block, and from several goroutines at once.
type Delivery func(to *Mailboxes, name [32]byte, m bus.Message) []Parcel

// Parcel is a message on its way to a mailbox.
type Parcel struct {
	Name    [32]byte
	Message bus.Message
	After   time.Duration // how long it is held back
}

// Posted is one message that a device has posted: what lies in a relay's queues and memory.
type Posted struct {
	Name [32]byte
	Body []byte // nobody may change it
	Kept bool   // until it is acknowledged or expires
}

// delivery is a bus that all nodes share, with a fault in it.
type delivery struct {
	*bus.Local
	mailboxes                                    *Mailboxes
	fault                                        atomic.Pointer[Delivery]
	deliveries, crossed, changed, repeated, late atomic.Int64

	mu       sync.Mutex
	remember int      // how many posted messages are kept
	posted   []Posted // guarded by mu; the oldest first
}

func newDelivery(remember int) *delivery {
	return &delivery{Local: bus.NewLocal(), mailboxes: newMailboxes(), remember: remember}
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
	d.record(name, m)
	f := d.fault.Load()
	if f == nil {
		return d.Local.Publish(name, m)
	}
	right := 0 // copies of what was posted, where it belongs
	for _, p := range (*f)(d.mailboxes, name, m) {
		same := bytes.Equal(p.Message.Body, m.Body)
		if same && p.Name == name {
			right++
		}
		if p.After > 0 {
			time.AfterFunc(p.After, func() { d.give(p, name, same); d.late.Add(1) })
			continue
		}
		receivers += d.give(p, name, same)
	}
	if right > 1 {
		d.repeated.Add(1)
	}
	return receivers
}

// give delivers a parcel and counts what is wrong about it, once it has reached somebody.
func (d *delivery) give(p Parcel, name [32]byte, same bool) int {
	n := d.Local.Publish(p.Name, p.Message)
	switch {
	case n == 0:
	case p.Name != name:
		d.crossed.Add(1)
	case !same:
		d.changed.Add(1)
	}
	return n
}

func (d *delivery) record(name [32]byte, m bus.Message) {
	if d.remember == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.posted = append(d.posted, Posted{name, m.Body, m.Kept})
	d.posted = d.posted[max(0, len(d.posted)-d.remember):]
}

// recorded is what was posted and is remembered.
func (d *delivery) recorded() []Posted {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Posted(nil), d.posted...)
}

// at is the bus as a node has it.
func (d *delivery) at(node string) bus.Bus { return nodeBus{d, node} }

type nodeBus struct {
	*delivery
	node string
}

// Subscribe implements bus.Bus.
func (b nodeBus) Subscribe(name [32]byte, f func(bus.Message)) (stop func()) {
	b.mailboxes.open(name, b.node)
	stopping := b.Local.Subscribe(name, f)
	return func() {
		stopping()
		b.mailboxes.close(name)
	}
}
