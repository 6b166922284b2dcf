package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// strangerLife is how long the connection of a client with neither a TURN allocation nor a mailbox may stay open in a
// crowd. An HTTP connection is closed between two requests after half of that time.
const strangerLife = 2 * time.Minute

// guest is a client's connection, by TCP or QUIC, with what the limits need to know: whose it is, and whose place it
// takes. Its RemoteAddr is the client's, whatever proxy the connection came through. Closing it frees its place.
type guest struct {
	net.Conn
	places *places
	lobby  *lobby // in which it takes a place until it is admitted
	since  time.Time

	mu       sync.Mutex
	client   netip.AddrPort  // guarded by mu
	told     bool            // guarded by mu; a trusted proxy has said who the client is
	place    *netlimit.Lease // guarded by mu; nil if it is not limited
	admitted bool            // guarded by mu
	leaving  *time.Timer     // guarded by mu; closes a stranger
	gone     bool            // guarded by mu
}

// newGuest takes a place for a connection, or returns why there is none.
func newGuest(c net.Conn, places *places, lobby *lobby) (*guest, error) {
	g := &guest{
		Conn:   c,
		places: places,
		lobby:  lobby,
		client: addrPortOf(c.RemoteAddr()),
		since:  time.Now(),
	}

	place, err := g.takeStrangerPlace(g.client.Addr())
	if err != nil {
		return nil, err
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.place = place
	g.leaving = time.AfterFunc(strangerLife, g.evict)
	return g, nil
}

// evict closes the connection of a stranger whose time is up if others need the place. If the client was admitted just
// after the timer fired, nothing happens.
func (g *guest) evict() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.gone || g.admitted:
	case g.lobby.isCrowded():
		g.release()
		g.Conn.Close()
	default:
		g.leaving.Reset(strangerLife)
	}
}

func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	case *net.UDPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// takeStrangerPlace takes a place for a client that has shown nothing yet.
func (g *guest) takeStrangerPlace(a netip.Addr) (*netlimit.Lease, error) {
	payer := g.places.peerPayer
	if g.told {
		payer = g.places.clientPayer
	}
	who, limited := payer(a)
	if !limited {
		return nil, nil
	}
	return g.lobby.Acquire(who, 1)
}

// RemoteAddr returns the client's address.
func (g *guest) RemoteAddr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	return net.TCPAddrFromAddrPort(g.client)
}

// rename charges the connection to the client that a trusted proxy names, which may be the proxy itself. If there is no
// place for that client, rename returns the reason and changes nothing.
func (g *guest) rename(client netip.AddrPort) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return net.ErrClosed
	}
	known := g.told
	g.told = true

	if (client.Addr() != g.client.Addr() || !known) && !g.admitted {
		place, err := g.takeStrangerPlace(client.Addr())
		if err != nil {
			g.told = known
			return err
		}
		g.moveTo(place)
	}

	g.client = client
	return nil
}

// moveTo releases the place of the connection, and replaces it by another.
func (g *guest) moveTo(place *netlimit.Lease) {
	if g.place != nil {
		g.place.Release()
	}
	g.place = place
}

// Admit moves the connection from the strangers' places to the payer's, because its client has an allocation or a
// mailbox for which somebody pays. If there is no place for it, Admit returns the reason.
func (g *guest) Admit(who netlimit.Payer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.gone:
		return net.ErrClosed
	case g.place == nil: // not limited
		g.admit()
		return nil
	}

	pool := g.places.addresses
	if who.IsNamed() {
		pool = g.places.tickets
	}
	place, err := pool.Acquire(who, 1)
	if err != nil {
		return err
	}

	g.moveTo(place)
	g.admit()
	return nil
}

func (g *guest) admit() {
	g.admitted = true
	g.leaving.Stop()
}

// Dismiss makes the client a stranger again. If there is no place left for strangers, the connection keeps its own.
func (g *guest) Dismiss() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone || !g.admitted {
		return
	}
	g.admitted = false
	g.leaving.Reset(strangerLife)
	if place, err := g.takeStrangerPlace(g.client.Addr()); err == nil {
		g.moveTo(place)
	}
}

// isOld reports whether to close a stranger's connection instead of keeping it for another request.
func (g *guest) isOld() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.admitted && time.Since(g.since) > strangerLife/2 && g.lobby.isCrowded()
}

// Close closes the connection and frees its place.
func (g *guest) Close() error {
	g.mu.Lock()
	g.release()
	g.mu.Unlock()
	return g.Conn.Close()
}

// release gives the place back, once. g.mu must be held.
func (g *guest) release() {
	if g.gone {
		return
	}
	g.gone = true
	g.leaving.Stop()
	g.moveTo(nil)
}

// errNoGuest is returned for a connection that did not come through a door.
var errNoGuest = errors.New("connection of no door")

// guestOf returns the guest inside a connection, however it was wrapped.
func guestOf(c net.Conn) (*guest, error) {
	for {
		switch inner := c.(type) {
		case *guest:
			return inner, nil
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return nil, errNoGuest
		}
	}
}
