package signaling

import (
	"context"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// link is one WebSocket connection and the requests under way on it.
type link struct {
	conn  *websocket.Conn
	url   string
	nonce [32]byte
	queue chan []byte
	done  chan struct{}

	mu      sync.Mutex
	lastID  uint32                 // guarded by mu
	waiting map[uint32]chan answer // guarded by mu; nil once closed
	opened  map[Name]error         // guarded by mu; open for writing; the error when that was refused
	opens   map[uint32]Name        // guarded by mu; opens for writing without an answer yet
}

type answer struct {
	json []byte
	err  error
}

func newLink(conn *websocket.Conn, relayURL string, nonce [32]byte) *link {
	return &link{conn: conn, url: relayURL, nonce: nonce, queue: make(chan []byte, sendQueue), done: make(chan struct{}),
		waiting: make(map[uint32]chan answer), opens: make(map[uint32]Name), opened: make(map[Name]error)}
}

// send queues a frame; it blocks only while a full queue drains, and not past the connection's end.
func (l *link) send(ctx context.Context, f Frame) {
	select {
	case l.queue <- Append(nil, f):
	case <-l.done:
	case <-ctx.Done():
	}
}

func (l *link) open(ctx context.Context, mb Mailbox, a Access) {
	f := SignOpen(l.url, l.nonce, mb, a)
	l.mu.Lock()
	l.lastID++
	f.ID = l.lastID
	if a == Write {
		l.opens[f.ID] = mb.Name()
	}
	l.mu.Unlock()
	l.send(ctx, f)
}

func (l *link) forget(name Name) {
	l.mu.Lock()
	delete(l.opened, name)
	l.mu.Unlock()
}

// request sends a frame and waits for its answer. When the mailbox could not be opened, that is the error, and not its consequence.
func (l *link) request(ctx context.Context, frame func(id uint32) Frame) answer {
	got := make(chan answer, 1)
	l.mu.Lock()
	if l.waiting == nil {
		l.mu.Unlock()
		return answer{err: errLinkLost}
	}
	l.lastID++
	id := l.lastID
	l.waiting[id] = got
	l.mu.Unlock()
	f := frame(id)
	l.send(ctx, f)
	select {
	case a := <-got:
		if e, ok := a.err.(*Error); ok && e.Code == CodeNotOpened {
			a.err = l.whyNotOpen(f, a.err)
		}
		return a
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
		return answer{err: ctx.Err()}
	}
}

func (l *link) whyNotOpen(f Frame, otherwise error) error {
	var name Name
	switch f := f.(type) {
	case Post:
		name = f.Name
	case GrantRequest:
		name = f.Name
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.opened[name]; err != nil {
		return err
	}
	return otherwise
}

// answer hands an answer to who waits for it.
func (l *link) answer(id uint32, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.opens[id]; ok {
		delete(l.opens, id)
		if a.err != nil {
			l.opened[name] = a.err
		}
		return
	}
	if got := l.waiting[id]; got != nil {
		delete(l.waiting, id)
		got <- a
	}
}

// close fails everything under way.
func (l *link) close() {
	l.conn.CloseNow()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, got := range l.waiting {
		got <- answer{err: errLinkLost}
	}
	l.waiting = nil
}

// write sends what is queued until the connection ends; then nobody waits for the queue any more.
func (l *link) write(ctx context.Context) {
	defer close(l.done)
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-l.queue:
			writing, cancel := context.WithTimeout(ctx, pingTimeout)
			err := l.conn.Write(writing, websocket.MessageBinary, b)
			cancel()
			if err != nil {
				l.conn.CloseNow()
				return
			}
		}
	}
}

// ping finds out that a relay has gone silent.
func (l *link) ping(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			waiting, cancel := context.WithTimeout(ctx, pingTimeout)
			err := l.conn.Ping(waiting)
			cancel()
			if err != nil {
				l.conn.CloseNow()
				return
			}
		}
	}
}

func host(relayURL string) string {
	if u, err := url.Parse(relayURL); err == nil {
		return u.Host
	}
	return relayURL
}

// Loopback says whether a relay URL names this machine.
func Loopback(relayURL string) bool {
	u, err := url.Parse(relayURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
