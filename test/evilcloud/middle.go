package evilcloud

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/signalingproxy"
)

// Frames is a fault of signaling: it gets every frame that a client or its relay sends, and returns what is sent
// instead. nil forwards everything. It is called from several goroutines at once.
type Frames func(l *Line, f signaling.Frame, fromRelay bool) []Said

// Said is a frame on its way.
type Said struct {
	Line     *Line // on whose connection
	ToClient bool  // rather than to its relay
	Frame    signaling.Frame
}

// Line is one client's connection to a node, seen from the middle.
type Line struct {
	middle *middle
	conn   *signalingproxy.Conn
	node   *node

	mu       sync.Mutex
	reads    []signaling.Name // opened for reading, the latest last; guarded by mu
	viewer   bool             // it asks for ICE servers, as only viewers do; guarded by mu
	answered []byte           // what the relay last granted it; guarded by mu
	got      []byte           // what was last delivered to it; guarded by mu
}

const (
	readsKept = 16
	pastKept  = 64
)

// middle is the man in the middle between all clients and their nodes.
type middle struct {
	delivery *delivery
	fault    atomic.Pointer[Frames]
	changed  atomic.Int64 // frames that were not forwarded unchanged

	mu    sync.Mutex
	lines []*Line // in the order in which they came; guarded by mu
	// those that have ended, the latest last, since a cache keeps what they received; guarded by mu
	past  []*Line
	swaps map[*Line]*Line // guarded by mu
}

func newMiddle() *middle { return &middle{swaps: make(map[*Line]*Line)} }

// set begins a fault, or ends it.
func (m *middle) set(f Frames) {
	if f == nil {
		m.fault.Store(nil)
	} else {
		m.fault.Store(&f)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.swaps)
}

// at returns the middle before one node, whose signaling is at relayURL.
func (m *middle) at(n *node, relayURL string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signalingproxy.Serve(w, r, relayURL, &Line{middle: m, node: n})
	})
}

// hangUp ends every connection.
func (m *middle) hangUp() {
	m.mu.Lock()
	lines := slices.Clone(m.lines)
	m.mu.Unlock()
	for _, l := range lines {
		l.conn.Close()
	}
}

// Opened implements signalingproxy.Handler.
func (l *Line) Opened(c *signalingproxy.Conn) {
	l.conn = c
	l.middle.mu.Lock()
	defer l.middle.mu.Unlock()
	l.middle.lines = append(l.middle.lines, l)
}

// Closed implements signalingproxy.Handler.
func (l *Line) Closed(*signalingproxy.Conn) {
	m := l.middle
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = slices.DeleteFunc(m.lines, func(other *Line) bool { return other == l })
	m.past = append(m.past, l)
	m.past = m.past[max(0, len(m.past)-pastKept):]
	delete(m.swaps, m.swaps[l])
	delete(m.swaps, l)
}

// FromClient implements signalingproxy.Handler.
func (l *Line) FromClient(_ *signalingproxy.Conn, message []byte) { l.pass(message, false) }

// FromRelay implements signalingproxy.Handler.
func (l *Line) FromRelay(_ *signalingproxy.Conn, message []byte) { l.pass(message, true) }

func (l *Line) pass(message []byte, fromRelay bool) {
	f, err := signaling.Parse(message)
	if d, ok := f.(signaling.Deliver); ok && l.middle.delivery.isWithheld(d.Name, d.Body) {
		return
	}
	fault := l.middle.fault.Load()
	if err != nil || fault == nil {
		if err == nil {
			l.learn(f)
		}
		l.say(message, fromRelay)
		return
	}

	l.learn(f)
	said := (*fault)(l, f, fromRelay)
	straight := false
	for _, s := range said {
		wire := signaling.Append(nil, s.Frame)
		straight = straight || s.Line == l && s.ToClient == fromRelay && string(wire) == string(message)
		s.Line.say(wire, s.ToClient)
	}

	if !straight || len(said) > 1 {
		l.middle.changed.Add(1)
	}
}

func (l *Line) say(message []byte, toClient bool) {
	if toClient {
		l.conn.ToClient(message) // if that fails, the connection ends by itself
		return
	}
	l.conn.ToRelay(message)
}

// learn records what a relay can see of its client.
func (l *Line) learn(f signaling.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f := f.(type) {
	case signaling.Open:
		if f.Access == signaling.Read {
			l.reads = append(l.reads, signaling.NameOf(f.ReadKey, f.WriteKey))
			l.reads = l.reads[max(0, len(l.reads)-readsKept):]
		}
	case signaling.GrantRequest:
		l.viewer = true
	case signaling.Granted:
		l.answered = slices.Clone(f.JSON)
	case signaling.Deliver:
		l.got = slices.Clone(f.Body)
	}
}

// Reads returns the mailboxes that the client has opened for reading, the latest last.
func (l *Line) Reads() []signaling.Name {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.reads)
}

func (l *Line) isViewer() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.viewer
}

// cached returns what another client received last, even one that has gone; nil: nothing.
func (l *Line) cached(told func(*Line) []byte) []byte {
	others := l.others()
	l.middle.mu.Lock()
	for _, other := range slices.Backward(l.middle.past) {
		others = append(others, other)
	}
	l.middle.mu.Unlock()
	for _, other := range others {
		if b := told(other); b != nil && other != l {
			return b
		}
	}

	return nil
}

// others returns everybody else's lines, those of the same role first.
func (l *Line) others() []*Line {
	l.middle.mu.Lock()
	others := slices.DeleteFunc(slices.Clone(l.middle.lines), func(o *Line) bool { return o == l })
	l.middle.mu.Unlock()
	role := l.isViewer()
	slices.SortStableFunc(others, func(a, b *Line) int {
		switch x, y := a.isViewer() == role, b.isViewer() == role; {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})

	return others
}

// swapped returns the line that l is exchanged with, as long as both are there, or l itself if there is none.
func (l *Line) swapped() *Line {
	others := l.others()
	m := l.middle
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.swaps[l]; other != nil {
		return other
	}

	for _, other := range others {
		if m.swaps[other] == nil && slices.Contains(m.lines, other) && slices.Contains(m.lines, l) {
			m.swaps[l], m.swaps[other] = other, l
			return other
		}
	}

	return l
}
