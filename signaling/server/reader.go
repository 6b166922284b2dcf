package server

import (
	"sync"
	"sync/atomic"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// reader is a mailbox open for reading on a connection. At first, the connection's writing goroutine delivers the
// stored messages to it. Then it is live, and gets messages as they are published.
type reader struct {
	name signaling.Name
	conn *conn

	// the first message that the store has not delivered; owned by the writing goroutine until live, then the publisher
	from atomic.Uint64
	live atomic.Bool // set under the mutex of the mailbox's shard

	mu   sync.Mutex
	gone bool   // guarded by mu
	stop func() // guarded by mu; ends the subscription
}

// subscribe delivers what is published from now on, unless the reader has ended.
func (r *reader) subscribe(to bus.Bus) {
	stop := to.Subscribe(r.name, r.onPublished)
	r.mu.Lock()
	gone := r.gone
	r.stop = stop
	r.mu.Unlock()

	if gone {
		stop()
	}
}

// end stops all delivery to the reader.
func (r *reader) end() {
	r.mu.Lock()
	r.gone = true
	stop := r.stop
	r.mu.Unlock()

	if stop != nil {
		stop()
	}
}

func (r *reader) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// onPublished is called for every message that is published to the mailbox. If there is no room for a message, it is
// delivered from the store after the client has read what came before, or dropped if it is not stored here.
func (r *reader) onPublished(m bus.Message) {
	stored := m.Kept && m.Node == r.conn.server.cfg.Node
	if m.Kept && !r.live.Load() || stored && r.wasDelivered(m.Seq) {
		return
	}

	switch {
	case r.conn.deliver(r.name, m): // in any order, because on a bus messages may overtake each other
	case stored:
		r.from.Store(m.Seq)
		r.live.Store(false)
		r.conn.out.addReplay(r)
	default: // the message is lost; the posts of others cost a client nothing else
		r.conn.server.Stats.SlowReaders.Add(1)
	}
}

// wasDelivered reports whether a message was delivered from the store before it was published. The messages that are
// not published yet are the last ones in the store, and at most maxUnpublished.
func (r *reader) wasDelivered(seq uint64) bool {
	return r.from.Load()-seq-1 < maxUnpublished
}

// endReplaced ends the reader, and tells the client that others read the mailbox now.
func (r *reader) endReplaced() {
	r.end()
	r.conn.server.Stats.Replaced.Add(1)
	r.conn.send(signaling.Closed{
		Name: r.name,
		Code: signaling.CodeReplaced,
		Text: "another device or tab is reading this mailbox",
	})
}
