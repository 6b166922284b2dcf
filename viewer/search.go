package viewer

import (
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

// findOnLAN searches for the camera on this network until ctx ends.
func (l *link) findOnLAN(ctx context.Context) (*p2p.Conn, error) {
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
