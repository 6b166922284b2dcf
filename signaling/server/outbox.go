package server

import (
	"slices"
	"sync"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	outboxBytes = 2 << 20
	outboxFree  = 2 << 10 // covered by the charge for the connection itself

	// mailboxBytes bounds the deliveries of one mailbox, so that those who post there leave most of the outbox to
	// others. The deliveries of all mailboxes together leave as much to answers, since a client without room for an
	// answer is cut off.
	mailboxBytes = outboxBytes / 8

	// fewReplays is a number of replays that need not be searched for readers that have ended. Without the search, a
	// client that opens a mailbox again and again, and reads no faster than the answers come, would pile up replays.
	fewReplays = 16
)

// outbox holds what waits to be written to one client: frames, which are bounded and paid for, and the mailboxes whose
// stored messages are still to be delivered. Stored messages are not queued. The writing goroutine gets them from the
// store as the client reads, each mailbox's after the frames that were queued before it are written.
type outbox struct {
	wake chan struct{} // holds one token when there is something new

	mu         sync.Mutex
	frames     []signaling.Frame        // guarded by mu; the first may be under way
	written    uint64                   // guarded by mu; how many frames came before these
	perMailbox map[signaling.Name]int64 // guarded by mu; the cost of each mailbox's deliveries among the frames
	bytes      int64                    // guarded by mu; the cost of the frames
	paid       int64                    // guarded by mu; what the lease holds for the frames
	lease      *netlimit.Lease          // guarded by mu
	replays    []replay                 // guarded by mu
	crowded    int                      // guarded by mu; the number of replays at which to search for ended ones
	finished   bool                     // guarded by mu; nothing can be added
}

// replay is a mailbox whose stored messages have their turn once after frames in all have been written.
type replay struct {
	reader *reader
	after  uint64
}

func newOutbox(lease *netlimit.Lease) *outbox {
	return &outbox{wake: make(chan struct{}, 1), perMailbox: make(map[signaling.Name]int64), lease: lease}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pushFrame queues a frame, and reports whether there was room. A delivery also needs room in its mailbox's part.
func (o *outbox) pushFrame(f signaling.Frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.finished {
		return true
	}
	cost := frameCost(f)
	d, delivers := f.(signaling.Deliver)
	if delivers && (o.perMailbox[d.Name]+cost > mailboxBytes || o.bytes+cost > outboxBytes-mailboxBytes) {
		return false
	}
	if !o.setBytes(o.bytes + cost) {
		return false
	}

	if delivers {
		o.perMailbox[d.Name] += cost
	}
	o.frames = append(o.frames, f)
	o.signal()
	return true
}

// setBytes sets the cost of the frames, and pays the difference or gets it back. It reports whether that was possible.
// o.mu must be held.
func (o *outbox) setBytes(bytes int64) bool {
	owed := max(bytes-outboxFree, 0) - max(o.bytes-outboxFree, 0)
	switch {
	case bytes > max(outboxBytes, o.bytes):
		return false
	case owed > 0 && o.lease.Grow(owed) != nil:
		return false
	case owed < 0:
		o.lease.Shrink(-owed)
	}

	o.bytes, o.paid = bytes, o.paid+owed
	return true
}

// addReplay starts or continues writing the stored messages of a mailbox.
func (o *outbox) addReplay(r *reader) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.finished {
		return
	}
	if len(o.replays) >= o.crowded {
		o.replays = slices.DeleteFunc(o.replays, func(one replay) bool { return one.reader.ended() })
		o.crowded = 2*len(o.replays) + fewReplays
	}

	o.replays = append(o.replays, replay{r, o.written + uint64(len(o.frames))})
	o.signal()
}

// finish makes the connection end after the queued frames.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.finished, o.replays = true, nil
	o.signal()
}

// front returns the frame to write next, or a reader whose stored messages are next. The reader is removed, so the
// caller must add it again unless everything stored was written.
func (o *outbox) front() (f signaling.Frame, r *reader, finished bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	switch {
	case len(o.replays) > 0 && o.replays[0].after <= o.written:
		r, o.replays = o.replays[0].reader, o.replays[1:]
	case len(o.frames) > 0:
		f = o.frames[0]
	default:
		finished = o.finished
	}

	return f, r, finished
}

// popFrame removes the frame that front returned.
func (o *outbox) popFrame(f signaling.Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.frames[0] = nil
	if o.frames = o.frames[1:]; len(o.frames) == 0 {
		o.frames = nil
	}
	o.written++

	cost := frameCost(f)
	if d, delivers := f.(signaling.Deliver); delivers {
		if o.perMailbox[d.Name] -= cost; o.perMailbox[d.Name] <= 0 {
			delete(o.perMailbox, d.Name)
		}
	}
	o.setBytes(o.bytes - cost)
}

// borrow pays for the copy of a frame while it is written. repay gives that back.
func (o *outbox) borrow(cost int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()

	if cost <= outboxFree {
		return nil
	}
	if err := o.lease.Grow(cost); err != nil {
		return err
	}
	o.paid += cost
	return nil
}

func (o *outbox) repay(cost int64) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if cost > outboxFree {
		o.lease.Shrink(cost)
		o.paid -= cost
	}
}

// moveLease makes another lease pay, and returns the one that paid before. It returns false if the new one has no room.
func (o *outbox) moveLease(to *netlimit.Lease) (*netlimit.Lease, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if to.Grow(o.paid) != nil {
		return nil, false
	}
	was := o.lease
	o.lease = to
	return was, true
}
