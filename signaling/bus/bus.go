// Package bus passes posted messages to the connections that read their mailbox. Local does so inside one process; the
// interface allows for more processes and regions. The package handles names and bodies, and looks into neither.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package bus

import "sync"

// Message is one posted message.
type Message struct {
	Seq  uint64
	Body []byte // must not be changed
	Kept bool   // it is stored as well
	Node string // where it was posted, by the operator's name for one of their own nodes
}

// Bus delivers messages by the name of their mailbox, in the order in which they were published to it.
type Bus interface {
	// Publish passes m to every subscriber of name, and returns how many there were.
	Publish(name [32]byte, m Message) int
	// Subscribe calls f for each message published to name until stop is called. f must not block.
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
