package viewer

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/session"
)

// setNames replaces the names by which the camera is found without the relay, and searches anew where it has not been
// found.
func (l *link) setNames(names session.HostList) {
	l.mu.Lock()
	l.names = names
	l.mu.Unlock()

	for _, client := range l.without {
		if !client.Connected() {
			client.Redial()
		}
	}
}

func (l *link) hostNames() session.HostList {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names
}

// readNames takes the names on disk if they have changed: another process of this viewer may have been told new ones.
// What could not be written down is not taken back.
func (l *link) readNames() {
	names := l.kept()
	l.mu.Lock()
	defer l.mu.Unlock()
	if names.Valid() && !bytes.Equal(names.Version, l.read) {
		l.names, l.read = names, names.Version
	}
}

// searchTurn is how long the camera is searched by the same names.
const searchTurn = 30 * time.Second

// findOnLAN searches for the camera on this network until ctx ends.
func (l *link) findOnLAN(ctx context.Context) (*p2p.Conn, error) {
	for {
		l.readNames()
		searching, cancel := context.WithTimeout(ctx, searchTurn)
		conn, err := l.searchLAN(searching)
		late := searching.Err() != nil
		cancel()
		if err == nil || !late || ctx.Err() != nil {
			return conn, err
		}
	}
}

// searchLAN searches for the camera on this network by the names that are known now.
func (l *link) searchLAN(ctx context.Context) (*p2p.Conn, error) {
	keys := l.hostNames().PublicKeys()
	if len(keys) == 0 { // the first session brings some
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p2p.FindLAN(ctx, keys)
}

// findByCircuit connects through a circuit relay, if there are any, once the relay has been away, or useless, for
// circuitDelay.
func (l *link) findByCircuit(ctx context.Context) (*p2p.Conn, error) {
	for {
		l.readNames()
		l.mu.Lock()
		names, serves, changed := l.names, l.isUp && l.useless.IsZero(), l.changed
		l.mu.Unlock()

		away := time.NewTimer(circuitDelay)
		select {
		case <-ctx.Done():
			away.Stop()
			return nil, ctx.Err()
		case <-changed:
			away.Stop()
			continue
		case <-away.C:
		}
		if !serves && len(names.Relays) > 0 {
			return l.dialCircuit(ctx, names)
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// dialCircuit connects through a circuit relay, and notes how that sees this device.
func (l *link) dialCircuit(ctx context.Context, names session.HostList) (*p2p.Conn, error) {
	l.setSeen(netip.Addr{})
	conn, err := p2p.DialCircuit(ctx, names.Relays, names.PublicKeys())
	if err != nil {
		return nil, err
	}
	l.setSeen(conn.SeenAs())
	return conn, nil
}

func (l *link) setSeen(as netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = as
}

// seenAs returns the address by which a circuit relay sees this device, if one has said so.
func (l *link) seenAs() []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen.IsValid() {
		return nil
	}
	return []netip.Addr{l.seen}
}
