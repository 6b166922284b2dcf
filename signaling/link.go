package signaling

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// link is one WebSocket connection and the requests under way on it.
type link struct {
	conn  *websocket.Conn
	url   string
	nonce [32]byte
	wake  chan struct{} // holds one token when there is something to write
	probe chan struct{} // holds one token when it is to be found out whether the relay still answers
	drain chan struct{} // holds one token when the queue has been taken
	since time.Time

	mu      sync.Mutex
	queue   [][]byte               // guarded by mu
	lastID  uint32                 // guarded by mu
	waiting map[uint32]chan answer // guarded by mu; nil once closed
	refused map[Name]error         // guarded by mu; why a mailbox of ours could not be opened
	opens   map[uint32]opening     // guarded by mu; without an answer yet

	doubted  bool        // guarded by mu; something was refused lately
	doubting *time.Timer // guarded by mu; nil: nothing was refused yet
	unsigned bool        // guarded by mu; a signature was refused
	why      error       // guarded by mu; why it was given up
}

// opening is the opening of a mailbox that has no answer yet.
type opening struct {
	name Name
	at   time.Time
}

type answer struct {
	json []byte
	err  error
}

func newLink(conn *websocket.Conn, relayURL string, nonce [32]byte) *link {
	return &link{
		conn: conn, url: relayURL, nonce: nonce, since: time.Now(), wake: make(chan struct{}, 1), probe: make(chan struct{}, 1), drain: make(chan struct{}, 1),
		waiting: make(map[uint32]chan answer), opens: make(map[uint32]opening), refused: make(map[Name]error),
	}
}

// send queues a frame and does not wait. What this program asks for bounds the queue; what the relay causes does too,
// by settle.
func (l *link) send(f Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push(f)
}

// push queues a frame. l.mu is held.
func (l *link) push(f Frame) {
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

// settle waits until the queue is short, so that a relay that sends and never reads cannot fill our memory with acks.
func (l *link) settle(ctx context.Context) error {
	for {
		l.mu.Lock()
		n := len(l.queue)
		l.mu.Unlock()
		if n < sendQueue {
			return nil
		}
		select {
		case <-l.drain:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *link) open(mb Mailbox, a Access) {
	f := SignOpen(l.url, l.nonce, mb, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	f.ID = l.lastID
	l.opens[f.ID] = opening{mb.Name(), time.Now()}
	l.push(f)
}

func (l *link) forget(name Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, name)
}

// request sends a frame about a mailbox and waits for its answer.
func (l *link) request(ctx context.Context, name Name, frame func(id uint32) Frame) answer {
	id, got := l.ask(frame)
	select {
	case a := <-got:
		a.err = l.because(name, a.err)
		return a
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, id)
		return answer{err: ctx.Err()}
	}
}

// ask queues a frame, behind all that were queued before. Its answer comes through got, which holds it until it is taken.
func (l *link) ask(frame func(id uint32) Frame) (id uint32, got <-chan answer) {
	c := make(chan answer, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		c <- answer{err: errLinkLost}
		return 0, c
	}
	l.lastID++
	l.waiting[l.lastID] = c
	l.push(frame(l.lastID))
	return l.lastID, c
}

// because is the error that a request about a mailbox ended with: when the mailbox could not be opened, that, and not its consequence.
func (l *link) because(name Name, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Code == CodeNotOpened {
		return l.whyNotOpen(name, err)
	}
	return err
}

func (l *link) whyNotOpen(name Name, otherwise error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refused[name]; err != nil {
		return err
	}
	return otherwise
}

// answer hands an answer to who waits for it; opened says that it was a refused open's, for which nobody waits.
func (l *link) answer(id uint32, a answer) (opened bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o, ok := l.opens[id]; ok {
		delete(l.opens, id)
		if a.err != nil {
			l.refused[o.name] = a.err
		}
		return a.err != nil
	}
	if got := l.waiting[id]; got != nil {
		delete(l.waiting, id)
		got <- a
	}
	return false
}

// close fails everything under way.
func (l *link) close() {
	l.conn.CloseNow()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, got := range l.waiting {
		got <- answer{err: errLinkLost}
	}
	l.waiting, l.queue = nil, nil
	if l.doubting != nil {
		l.doubting.Stop()
	}
}

func (l *link) take() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue
	l.queue = nil
	return q
}

// write sends what is queued until the connection ends.
func (l *link) write(ctx context.Context) {
	defer l.conn.CloseNow()
	for {
		q := l.take()
		for _, b := range q {
			writing, cancel := context.WithTimeout(ctx, pingTimeout)
			err := l.conn.Write(writing, websocket.MessageBinary, b)
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

// ping finds out that a relay has gone silent.
func (l *link) ping(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		patience := pingTimeout
		select {
		case <-ctx.Done():
			return
		case <-l.probe:
			patience = probeWait
		case now := <-ticker.C:
			if l.ignored(now) {
				l.giveUp(context.DeadlineExceeded)
				return
			}
		}
		waiting, cancel := context.WithTimeout(ctx, patience)
		err := l.conn.Ping(waiting)
		cancel()
		if err != nil {
			l.conn.CloseNow()
			return
		}
	}
}
