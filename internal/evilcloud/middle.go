package evilcloud

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/between"
)

// Frames is a fault of signaling: it is given every frame that a client or its relay says, and returns what is said instead. nil passes all on.
// It is called from several goroutines at once.
type Frames func(l *Line, f signaling.Frame, fromRelay bool) []Said

// Said is a frame on its way.
type Said struct {
	Line     *Line // whose connection
	ToClient bool  // else to its relay
	Frame    signaling.Frame
}

// Line is one client's connection to a node, seen from between them.
type Line struct {
	middle *middle
	conn   *between.Conn
	node   *node

	mu       sync.Mutex
	reads    []signaling.Name // guarded by mu; opened for reading, the latest last
	viewer   bool             // guarded by mu; it asks for ICE servers, as only viewers do
	answered []byte           // guarded by mu; what the relay last granted it
	got      []byte           // guarded by mu; what was last delivered to it
}

const (
	readsKept = 16
	pastKept  = 64
)

// middle is the man between all clients and their nodes.
type middle struct {
	delivery *delivery
	fault    atomic.Pointer[Frames]
	changed  atomic.Int64 // frames that were not passed on as they were

	mu    sync.Mutex
	lines []*Line         // guarded by mu; in the order in which they came
	past  []*Line         // guarded by mu; that have ended, the latest last: a cache keeps what they were told
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

// at is the middle before one node, whose signaling is at relayURL.
func (m *middle) at(n *node, relayURL string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		between.Serve(w, r, relayURL, &Line{middle: m, node: n})
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

// Opened implements between.Handler.
func (l *Line) Opened(c *between.Conn) {
	l.conn = c
	l.middle.mu.Lock()
	defer l.middle.mu.Unlock()
	l.middle.lines = append(l.middle.lines, l)
}

// Closed implements between.Handler.
func (l *Line) Closed(*between.Conn) {
	m := l.middle
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = slices.DeleteFunc(m.lines, func(other *Line) bool { return other == l })
	m.past = append(m.past, l)
	m.past = m.past[max(0, len(m.past)-pastKept):]
	delete(m.swaps, m.swaps[l])
	delete(m.swaps, l)
}

// FromClient implements between.Handler.
func (l *Line) FromClient(_ *between.Conn, message []byte) { l.pass(message, false) }

// FromRelay implements between.Handler.
func (l *Line) FromRelay(_ *between.Conn, message []byte) { l.pass(message, true) }

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
		l.conn.ToClient(message) // where it cannot be said, the connection ends by itself
		return
	}
	l.conn.ToRelay(message)
}

// learn keeps what a relay can see of its client.
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

// Reads is which mailboxes the client has opened for reading, the latest last.
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

// cached is what another client was told last, also one that has gone; nil: nothing.
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

// others are the lines of everybody else, those of the same role first.
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

// swapped is the line that l is exchanged with, one with one, for as long as both are there; l itself while there is none.
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
