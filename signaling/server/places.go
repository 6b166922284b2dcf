package server

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

const (
	// maxOutside bounds the connections from outside at a private server.
	maxOutside = 32
	// maxUnproven and maxUnprovenThere bound those that have proven nothing: all, and those from one address. All
	// devices of a network may count as one IPv6 address.
	maxUnproven      = 12
	maxUnprovenThere = 4
	// proofTime is how long a connection has to prove itself, from its acceptance.
	proofTime = 5 * time.Second
)

// places are the connections from outside at a private server. A connection has its place before any of its bytes is
// read. When there is no room, a new connection takes the place of the oldest one that has proven nothing: a viewer
// proves itself within a round trip, so that a stranger who holds connections keeps nobody out.
type places struct {
	onTaken func() // called when one is taken

	mu       sync.Mutex
	unproven []*place // guarded by mu; oldest first
	proven   int      // guarded by mu
}

// place is one connection from outside.
type place struct {
	net.Conn
	all    *places
	origin string
	from   netip.Prefix
	timer  *time.Timer // closes it unless it proves itself

	proven, closed bool // guarded by all.mu
}

func newPlaces(onTaken func()) *places { return &places{onTaken: onTaken} }

// addConn gives a connection a place, or closes it and returns nil if there is none.
func (all *places) addConn(conn net.Conn, origin string) *place {
	p := &place{Conn: conn, all: all, origin: origin}
	if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		p.from = netlimit.Fold(at.Addr())
	}

	replaced, ok := all.makeRoom(p)
	for _, r := range replaced {
		r.Close()
	}
	if !ok {
		conn.Close()
		return nil
	}
	all.onTaken()
	return p
}

// makeRoom adds a place, and returns those that must be closed for it.
func (all *places) makeRoom(p *place) (replaced []*place, ok bool) {
	all.mu.Lock()
	defer all.mu.Unlock()

	there := func(o *place) bool { return o.from == p.from }
	count := 0
	for _, o := range all.unproven {
		if there(o) {
			count++
		}
	}

	switch {
	case count >= maxUnprovenThere:
		replaced = append(replaced, all.removeUnproven(slices.IndexFunc(all.unproven, there)))
	case len(all.unproven) >= maxUnproven, all.proven+len(all.unproven) >= maxOutside && len(all.unproven) > 0:
		replaced = append(replaced, all.removeUnproven(0))
	case all.proven >= maxOutside:
		return nil, false
	}

	p.timer = time.AfterFunc(proofTime, func() { p.Close() })
	all.unproven = append(all.unproven, p)
	return replaced, true
}

// removeUnproven removes the place at an index. all.mu must be held.
func (all *places) removeUnproven(i int) *place {
	p := all.unproven[i]
	all.unproven = slices.Delete(all.unproven, i, i+1)
	p.closed = true
	return p
}

// prove notes that the connection has proven itself, and tells the listener that it came from.
func (p *place) prove() {
	p.timer.Stop()
	p.noteProof()
	if conn, ok := p.Conn.(interface{ Proven() }); ok {
		conn.Proven()
	}
}

func (p *place) noteProof() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()

	if i := slices.Index(p.all.unproven, p); i >= 0 {
		p.all.unproven = slices.Delete(p.all.unproven, i, i+1)
		p.all.proven++
		p.proven = true
	}
}

// Close implements net.Conn. It gives up the place.
func (p *place) Close() error {
	p.all.remove(p)
	p.timer.Stop()
	return p.Conn.Close()
}

func (all *places) remove(p *place) {
	all.mu.Lock()
	defer all.mu.Unlock()

	if p.closed {
		return
	}
	p.closed = true
	if p.proven {
		all.proven--
		return
	}
	if i := slices.Index(all.unproven, p); i >= 0 {
		all.unproven = slices.Delete(all.unproven, i, i+1)
	}
}

// empty reports whether nobody from outside is connected.
func (all *places) empty() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.proven == 0 && len(all.unproven) == 0
}

// outside is a listener whose connections have places.
type outside struct {
	net.Listener
	places *places
}

// Accept implements net.Listener.
func (o *outside) Accept() (net.Conn, error) {
	for {
		conn, err := o.Listener.Accept()
		if err != nil {
			return nil, err
		}
		named, ok := conn.(interface{ Origin() string })
		if !ok || named.Origin() == "" {
			conn.Close() // anybody could use a signature that names no ends
			continue
		}
		if p := o.places.addConn(conn, named.Origin()); p != nil {
			return p, nil
		}
	}
}
