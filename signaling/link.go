package signaling

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

const (
	pingInterval = 20 * time.Second
	pingTimeout  = 20 * time.Second
	maxQueue     = 256 // frames
)

// link is one connection and the requests under way on it.
type link struct {
	conn   frameConn
	origin string // what an Open signs: the relay URL, or what Dial returned
	nonce  [32]byte
	since  time.Time

	wake  chan struct{} // holds one token when there is something to write
	drain chan struct{} // holds one token when the queue has been emptied
	probe chan struct{} // holds one token when the relay must show that it still answers

	moving atomic.Bool // to another network

	mu          sync.Mutex
	lastArrival time.Time              // guarded by mu
	queue       [][]byte               // guarded by mu
	lastID      uint32                 // guarded by mu
	waiting     map[uint32]chan answer // guarded by mu; nil once closed
	opens       map[uint32]pendingOpen // guarded by mu
	refused     map[Name]error         // guarded by mu; why a mailbox could not be opened
	trip        time.Duration          // guarded by mu; the least that an answer took; zero: none has come

	retryPending bool        // guarded by mu; retryRefused has a timer running
	retry        *time.Timer // guarded by mu; that timer; nil until something is refused
	badSignature bool        // guarded by mu; the relay refused a signature
	reason       error       // guarded by mu; why the link was abandoned
}

// pendingOpen is an Open without an answer.
type pendingOpen struct {
	name Name
	at   time.Time
}

type answer struct {
	json []byte
	err  error
}

func newLink(conn frameConn, origin string, nonce [32]byte) *link {
	now := time.Now()
	return &link{
		conn:        conn,
		origin:      origin,
		nonce:       nonce,
		since:       now,
		lastArrival: now,
		wake:        make(chan struct{}, 1),
		drain:       make(chan struct{}, 1),
		probe:       make(chan struct{}, 1),
		waiting:     make(map[uint32]chan answer),
		opens:       make(map[uint32]pendingOpen),
		refused:     make(map[Name]error),
	}
}

// send queues a frame and does not wait. The queue is bounded: this program asks only for so much, and waitForQueue
// limits what the relay causes.
func (l *link) send(f Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue(f)
}

// enqueue queues a frame. l.mu must be held.
func (l *link) enqueue(f Frame) {
	if l.waiting == nil {
		return
	}
	l.queue = append(l.queue, Append(nil, f))
	signal(l.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitForQueue waits until the queue is short. A relay that keeps sending and never reads must not fill our memory with
// acks.
func (l *link) waitForQueue(ctx context.Context) error {
	for {
		l.mu.Lock()
		n := len(l.queue)
		l.mu.Unlock()
		if n < maxQueue {
			return nil
		}

		select {
		case <-l.drain:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *link) openMailbox(mb Mailbox, a Access) {
	f := SignOpen(l.origin, l.nonce, mb, a)
	l.mu.Lock()
	defer l.mu.Unlock()

	l.lastID++
	f.ID = l.lastID
	l.opens[f.ID] = pendingOpen{mb.Name(), time.Now()}
	l.enqueue(f)
}

// hasRefusals reports whether a mailbox that is still wanted was refused.
func (l *link) hasRefusals() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.refused) > 0
}

func (l *link) forgetRefusal(name Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, name)
}

// roundTrip sends a frame about a mailbox and waits for its answer.
func (l *link) roundTrip(ctx context.Context, name Name, frame func(id uint32) Frame) answer {
	id, answered := l.startRequest(frame)
	select {
	case a := <-answered:
		a.err = l.rootCause(name, a.err)
		return a
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, id)
		return answer{err: ctx.Err()}
	}
}

// startRequest queues a frame behind all earlier ones. Its answer arrives on answered, which is buffered.
func (l *link) startRequest(frame func(id uint32) Frame) (id uint32, answered <-chan answer) {
	c := make(chan answer, 1)
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.waiting == nil {
		c <- answer{err: errLinkLost}
		return 0, c
	}
	l.lastID++
	l.waiting[l.lastID] = c
	l.enqueue(frame(l.lastID))
	return l.lastID, c
}

// rootCause returns why a request about a mailbox failed. If it failed because the mailbox is not open, the cause is
// the refusal to open it.
func (l *link) rootCause(name Name, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeNotOpened {
		return err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if refusal := l.refused[name]; refusal != nil {
		return refusal
	}
	return err
}

// resolve passes an answer to the request that waits for it. It reports whether the answer refuses to open a mailbox;
// no request waits for such an answer.
func (l *link) resolve(id uint32, a answer) (refusedMailbox bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if o, ok := l.opens[id]; ok {
		delete(l.opens, id)
		if took := time.Since(o.at); l.trip == 0 || took < l.trip {
			l.trip = took
		}
		if a.err != nil {
			l.refused[o.name] = a.err
		}
		return a.err != nil
	}

	if answered := l.waiting[id]; answered != nil {
		delete(l.waiting, id)
		answered <- a
	}
	return false
}

// close ends the connection and fails all requests under way.
func (l *link) close() {
	l.conn.CloseNow()
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, answered := range l.waiting {
		answered <- answer{err: errLinkLost}
	}
	l.waiting, l.queue = nil, nil
	if l.retry != nil {
		l.retry.Stop()
	}
}

func (l *link) emptyQueue() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()

	q := l.queue
	l.queue = nil
	return q
}

// writeQueue writes what is queued until the connection ends.
func (l *link) writeQueue(ctx context.Context) {
	defer l.conn.CloseNow()
	for {
		q := l.emptyQueue()
		for _, b := range q {
			writing, cancel := context.WithTimeout(ctx, pingTimeout)
			err := l.conn.Write(writing, b)
			cancel()
			if err != nil {
				return
			}
		}
		signal(l.drain)
		if len(q) > 0 {
			continue
		}

		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
	}
}

func (l *link) noteArrival() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastArrival = time.Now()
}

// silenceAtCut returns how long nothing had arrived when the other side cut the connection without a word. err is the
// error with which reading ended. It returns 0 if the connection ended in another way.
func (l *link) silenceAtCut(err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()

	cut := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	if !cut || l.reason != nil || websocket.CloseStatus(err) != -1 {
		return 0
	}
	return time.Since(l.lastArrival)
}

// ping pings the relay, and ends the connection once the relay is silent.
func (l *link) ping(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		timeout := pingTimeout
		select {
		case <-ctx.Done():
			return
		case <-l.probe:
			timeout = probeTimeout
		case now := <-ticker.C:
			if l.openOverdue(now) {
				l.abandon(context.DeadlineExceeded)
				return
			}
		}

		waiting, cancel := context.WithTimeout(ctx, timeout)
		err := l.conn.Ping(waiting)
		cancel()
		if err != nil {
			l.conn.CloseNow()
			return
		}
		l.noteArrival()
	}
}

// redial moves the connection to another network, or ends it so that another one replaces it. It does not block.
func (l *link) redial() {
	m, ok := l.conn.(mover)
	if !ok {
		l.conn.CloseNow()
		return
	}
	if !l.moving.CompareAndSwap(false, true) {
		return
	}

	go func() {
		defer l.moving.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), moveTimeout)
		defer cancel()
		if m.Move(ctx) != nil {
			l.conn.CloseNow()
			return
		}
		signal(l.probe)
	}()
}
