package evilcloud

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// CrossAnswers acts on messages for mailboxes that somebody has just begun to read, like a client that waits for an
// answer. It delivers them to another such mailbox, preferably one that waits for an answer too: requests reach the
// right camera, and answers the wrong person.
func CrossAnswers(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	if !to.Fresh(name) {
		return []Parcel{{Name: name, Message: m}}
	}
	if other, ok := to.AnotherFresh(name); ok {
		return []Parcel{{Name: other, Message: m}}
	}
	return nil // lost, rather than right
}

// CrossAll delivers every message to some other mailbox that somebody reads.
func CrossAll(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	if other, ok := to.Another(name); ok {
		return []Parcel{{Name: other, Message: m}}
	}
	return nil
}

// CrossNodes delivers every message to some mailbox that somebody reads at another node.
func CrossNodes(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	if other, ok := to.Elsewhere(name); ok {
		return []Parcel{{Name: other, Message: m}}
	}
	return nil
}

// Twice delivers every message twice.
func Twice(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	return []Parcel{{Name: name, Message: m}, {Name: name, Message: m}}
}

// Late delays every message.
func Late(by time.Duration) Delivery {
	return func(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
		return []Parcel{{Name: name, Message: m, After: by}}
	}
}

// reorderedFor is how long a message waits for another to overtake it.
const reorderedFor = 300 * time.Millisecond

// Reordered lets every second message to a mailbox overtake the one before it.
func Reordered() Delivery {
	var mu sync.Mutex
	held := make(map[[32]byte]bool)
	return func(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
		mu.Lock()
		defer mu.Unlock()
		if held[name] = !held[name]; held[name] {
			return []Parcel{{Name: name, Message: m, After: reorderedFor}}
		}
		delete(held, name)
		return []Parcel{{Name: name, Message: m}}
	}
}

// Truncated cuts something off the end of every message.
func Truncated(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	m.Body = m.Body[:max(1, rand.IntN(len(m.Body)))]
	return []Parcel{{Name: name, Message: m}}
}

// Flipped flips one bit of every message.
func Flipped(to *Mailboxes, name [32]byte, m bus.Message) []Parcel {
	return FlippedAt(func(body []byte) int { return rand.IntN(len(body)) })(to, name, m)
}

// FlippedAt flips a bit of a chosen byte.
func FlippedAt(place func(body []byte) int) Delivery {
	return func(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
		m.Body = bytes.Clone(m.Body)
		m.Body[place(m.Body)] ^= 1 << rand.IntN(8)
		return []Parcel{{Name: name, Message: m}}
	}
}

// Replayed delivers, before every message, three that were posted before the fault began: the last ones of the same
// mailbox or, without any, of the same size. It needs Config.Remember.
func (c *Cloud) Replayed() Delivery {
	old := c.Posted()
	return func(_ *Mailboxes, name [32]byte, m bus.Message) []Parcel {
		parcels := []Parcel{{Name: name, Message: m}}
		again := func(fits func(Posted) bool) {
			for i := len(old) - 1; i >= 0 && len(parcels) < 4; i-- {
				if fits(old[i]) {
					copied := m
					copied.Body = old[i].Body
					parcels = append([]Parcel{{Name: name, Message: copied}}, parcels...)
				}
			}
		}

		if again(func(p Posted) bool { return p.Name == name }); len(parcels) == 1 {
			again(func(p Posted) bool { return len(p.Body) == len(m.Body) })
		}
		return parcels
	}
}
