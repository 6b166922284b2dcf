package server

import (
	"sync"
	"sync/atomic"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	outboxBytes   = 1 << 20
	frameOverhead = 64 // what a queued frame costs besides its bytes
)

// outbox is what waits to be written to one client: frames, bounded in bytes, and the mailboxes whose stored messages it
// is still to be given. Those are not queued: they are taken from the store as the client reads.
type outbox struct {
	wake chan struct{} // holds one token when there is something new

	mu       sync.Mutex
	frames   [][]byte  // guarded by mu
	bytes    int       // guarded by mu
	replays  []*replay // guarded by mu
	finished bool      // guarded by mu; nothing is added any more
}

// replay is a mailbox open for reading on a connection.
type replay struct {
	name signaling.Name
	from uint64      // the writing goroutine's: the next stored message to write
	live atomic.Bool // set under the store's lock: stored messages are written, new ones come as they are published
	gone atomic.Bool
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// push queues a frame; false: the client reads too slowly.
func (o *outbox) push(f signaling.Frame) bool {
	b := signaling.Append(nil, f)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return true
	}
	if o.bytes+len(b)+frameOverhead > outboxBytes {
		return false
	}
	o.bytes += len(b) + frameOverhead
	o.frames = append(o.frames, b)
	o.signal()
	return true
}

// replay begins to write what is stored in a mailbox.
func (o *outbox) replay(r *replay) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.finished {
		o.replays = append(o.replays, r)
		o.signal()
	}
}

// finish ends the connection after the frames that are queued.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished, o.replays = true, nil
	o.signal()
}

// take returns all the frames and one mailbox to go on with, to be given back while it is not settled.
func (o *outbox) take() (frames [][]byte, r *replay, finished bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames, o.frames, o.bytes = o.frames, nil, 0
	if len(o.replays) > 0 {
		r, o.replays = o.replays[0], o.replays[1:]
	}
	return frames, r, o.finished
}
