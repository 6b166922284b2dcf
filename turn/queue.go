package turn

import "sync"

// keptBuffer is the largest buffer that is kept for other queues, in bytes.
const keptBuffer = 256 << 10

// buffers are those that no queue uses: most clients are idle, and their queues hold nothing.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// queue is what waits for one TCP or TLS client. A client that does not read fills its own queue and delays nobody: whoever
// has something for it leaves that here, and a goroutine that lives as long as something waits writes it.
type queue struct {
	mu      sync.Mutex
	waiting *[]byte // nil: nothing
	held    int     // messages in waiting and in what is being written
	writing bool
	closed  bool
}

// push queues messages for the client, in turn, and drops and counts those for which there is no room.
func (s *stream) push(messages []packet) {
	q, taken, bytes := &s.queue, 0, 0
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
		taken++
		bytes += m.payload
	}
	start := taken > 0 && !q.writing
	if start {
		q.writing = true
		s.listener.open.Add(1) // the connection, not closed yet, is counted too
	}
	q.mu.Unlock()
	if taken > 0 {
		s.listener.counters.relayed(taken, bytes)
	}
	if start {
		go s.drain()
	}
}

// drain writes what waits until nothing does.
func (s *stream) drain() {
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
		err := s.write.extend(s.SetWriteDeadline, writeWait)
		if err == nil {
			_, err = s.Conn.Write(*p)
		}
		if err != nil {
			s.abort() // what was written in part could not be mended
			q.end()
		}
		if cap(*p) <= keptBuffer {
			*p = (*p)[:0]
			buffers.Put(p)
		}
	}
}

// end takes nothing more, and drops what waits.
func (q *queue) end() {
	q.mu.Lock()
	q.closed, q.waiting = true, nil
	q.mu.Unlock()
}
