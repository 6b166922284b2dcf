package evilcloud

import (
	"bytes"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Delivery is a fault of delivering: it gets every message, and returns the parcels that are delivered instead. nil is
// an honest cloud. It is called while the posting node's store is locked, so it must not block, and from several
// goroutines at once.
type Delivery func(to *Mailboxes, name [32]byte, m bus.Message) []Parcel

// Parcel is a message on its way to a mailbox.
type Parcel struct {
	Name    [32]byte
	Message bus.Message
	After   time.Duration // how long it is delayed
}

// Posted is one message that a device has posted, as it lies in a relay's queues and memory.
type Posted struct {
	Name [32]byte
	Body []byte // must not be changed
	Kept bool   // the store keeps it until it is acknowledged or expires
}

// delivery is a bus that all nodes share, with a fault in it.
type delivery struct {
	*bus.Local
	middle                                       bool // there is a proxy between clients and signaling
	mailboxes                                    *Mailboxes
	fault                                        atomic.Pointer[Delivery]
	deliveries, crossed, changed, repeated, late atomic.Int64

	mu       sync.Mutex
	remember int                   // how many posted messages are kept
	posted   []Posted              // the oldest first; guarded by mu
	withheld map[[32]byte]struct{} // digests of what was not delivered as it was posted; guarded by mu
}

func newDelivery(remember int) *delivery {
	return &delivery{
		Local:     bus.NewLocal(),
		mailboxes: newMailboxes(),
		remember:  remember,
		withheld:  make(map[[32]byte]struct{}),
	}
}

func (d *delivery) set(f Delivery) {
	if f == nil {
		d.fault.Store(nil)
		d.mu.Lock()
		defer d.mu.Unlock()
		clear(d.withheld)
		return
	}

	d.mailboxes.begin()
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

	d.mailboxes.posted(name, len(m.Body))
	parcels := (*f)(d.mailboxes, name, m)
	right := 0 // copies of what was posted, where it belongs
	for _, p := range parcels {
		if p.Name == name && bytes.Equal(p.Message.Body, m.Body) {
			right++
		}
	}

	switch right {
	case 0:
		d.withhold(name, m.Body)
	case 1:
	default:
		d.repeated.Add(1)
	}

	for _, p := range parcels {
		same := bytes.Equal(p.Message.Body, m.Body)
		if p.After > 0 {
			time.AfterFunc(p.After, func() { d.give(p, name, same); d.late.Add(1) })
			continue
		}
		receivers += d.give(p, name, same)
	}

	return receivers
}

// give delivers a parcel and, once it has reached somebody, counts what is wrong about it.
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

// withheldKept bounds the memory of what was not delivered.
const withheldKept = 1 << 14

func digest(name [32]byte, body []byte) [32]byte { return sha256.Sum256(append(name[:], body...)) }

// withhold records a message that must not reach its mailbox by another path, such as the node's store, while the fault
// lasts. Only the proxy in the middle can ensure that.
func (d *delivery) withhold(name [32]byte, body []byte) {
	if !d.middle {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.withheld) < withheldKept {
		d.withheld[digest(name, body)] = struct{}{}
	}
}

// isWithheld reports whether a delivery must not be made while the fault lasts, because withhold has recorded it.
func (d *delivery) isWithheld(name [32]byte, body []byte) bool {
	if d.fault.Load() == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, withheld := d.withheld[digest(name, body)]
	return withheld
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

// recorded returns what was posted and is remembered.
func (d *delivery) recorded() []Posted {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Posted(nil), d.posted...)
}

// at returns the bus as a node sees it.
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
