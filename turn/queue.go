package turn

import "sync"

// maxKeptBuffer is the largest buffer that is kept for other queues, in bytes.
const maxKeptBuffer = 256 << 10

// buffers are those that no queue uses: most clients are idle, and their queues hold nothing.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// queue holds what waits for one TCP or TLS client. A client that does not read fills only its own queue and delays
// nobody: senders leave messages here, and a goroutine that lives as long as any wait writes them.
type queue struct {
	mu      sync.Mutex
	waiting *[]byte // guarded by mu; nil: nothing
	held    int     // guarded by mu; messages in waiting and in what is being written
	writing bool    // guarded by mu
	closed  bool    // guarded by mu
}

// enqueue queues messages for the client, in order. Those for which there is no room it drops and counts.
func (s *stream) enqueue(messages []packet) {
	q, queued, bytes := &s.queue, 0, 0
	q.mu.Lock()
	for i := range messages {
		m := &messages[i]
		if q.closed || q.held >= s.listener.queue {
			s.listener.counters.count(dropQueueFull)
			continue
		}

		if q.waiting == nil {
			q.waiting = buffers.Get().(*[]byte)
		}
		*q.waiting = append(append(append(*q.waiting, m.head...), m.body...), zeros[:m.pad]...)
		q.held++
		queued++
		bytes += m.payload
	}

	start := queued > 0 && !q.writing
	if start {
		q.writing = true
		s.listener.open.Add(1) // still above 0: the connection itself is counted until it is closed
	}
	q.mu.Unlock()

	if queued > 0 {
		s.listener.counters.countRelayed(queued, bytes)
	}
	if start {
		go s.writeQueue()
	}
}

// writeQueue writes what waits until nothing does.
func (s *stream) writeQueue() {
	defer s.listener.open.Done()
	q, written := &s.queue, 0
	for {
		q.mu.Lock()
		q.held -= written
		p := q.waiting
		q.waiting, written = nil, q.held
		if p == nil {
			q.writing = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()

		if err := s.writeAll(*p); err != nil {
			s.abort() // a message written in part could not be mended
			q.close()
		}
		if cap(*p) <= maxKeptBuffer {
			*p = (*p)[:0]
			buffers.Put(p)
		}
	}
}

// close drops what waits, and lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	q.closed, q.waiting = true, nil
	q.mu.Unlock()
}
