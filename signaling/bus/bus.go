// Package bus brings a posted message to whoever is connected to its mailbox: inside one process here, between
// processes and regions behind the same interface later. It knows names and bodies, and looks into neither.
package bus

import "sync"

// Message is one posted message.
type Message struct {
	Seq  uint64
	Body []byte // nobody may change it
	Kept bool   // it is stored as well
	Node string // where it was posted: an operator's name for one of their nodes, and nobody else's
}

// Bus delivers messages by mailbox name, in the order in which they were published to that name.
type Bus interface {
	// Publish gives m to every subscriber of name and says how many there were.
	Publish(name [32]byte, m Message) int
	// Subscribe calls f for each message published to name until stop. f must not block.
	Subscribe(name [32]byte, f func(Message)) (stop func())
}

const shards = 64

// Local is a bus inside one process.
type Local struct{ shard [shards]shard }

type shard struct {
	mu   sync.Mutex
	subs map[[32]byte]map[*func(Message)]struct{} // guarded by mu
}

// NewLocal returns an empty bus.
func NewLocal() *Local {
	b := new(Local)
	for i := range b.shard {
		b.shard[i].subs = make(map[[32]byte]map[*func(Message)]struct{})
	}
	return b
}

// Publish implements Bus.
func (b *Local) Publish(name [32]byte, m Message) int {
	s := &b.shard[name[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.subs[name] {
		(*f)(m)
	}
	return len(s.subs[name])
}

// Subscribe implements Bus.
func (b *Local) Subscribe(name [32]byte, f func(Message)) (stop func()) {
	s, key := &b.shard[name[0]%shards], &f
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[name] == nil {
		s.subs[name] = make(map[*func(Message)]struct{})
	}
	s.subs[name][key] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs[name], key)
		if len(s.subs[name]) == 0 {
			delete(s.subs, name)
		}
	}
}
