package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peephole-cam/peephole/nat/netwatch"
)

const (
	// The LAN is asked again after firstAsk, and then after twice as long each time, up to lastAsk (RFC 6762, section
	// 5.2). Between questions, the announcement of a camera that has just been switched on is heard as well.
	firstAsk, lastAsk = time.Second, time.Minute

	// maxDials bounds the dials that run at a time, and maxDialsPerAddress those to one address: others may announce
	// the camera's key too.
	maxDials, maxDialsPerAddress = 16, 2

	// maxTurns bounds the addresses whose turns are counted. After so many the count begins anew.
	maxTurns = 1024

	// dialPatience ends a dial on the LAN. After dialTurn it may have to make room for another.
	dialPatience, dialTurn = 5 * time.Second, 500 * time.Millisecond
)

// FindLAN looks for a camera on the LAN until it has a connection to it or ctx ends. keys are the host keys that the
// camera may have. Only who announces one of them is dialed, where the announcement came from; whoever proves the key
// first is the camera. The viewer's own host key is made for this call alone.
func FindLAN(ctx context.Context, keys []ed25519.PublicKey) (*Conn, error) {
	ids, err := peerIDs(keys)
	if err != nil {
		return nil, fmt.Errorf("find camera on the LAN: %w", err)
	}
	e, err := newCaller()
	if err != nil {
		return nil, fmt.Errorf("find camera on the LAN: %w", err)
	}

	s := &search{
		endpoint: e,
		wanted:   make(map[string]peer.ID),
		dials:    make(map[candidate]*dial),
		turns:    make(map[netip.Addr]int),
	}
	for i, k := range keys {
		s.wanted[labelOf(k)] = ids[i]
	}
	conn, err := s.run(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find camera on the LAN: %w", err), e.close())
	}
	return conn, nil
}

// search is one call of FindLAN.
type search struct {
	endpoint *endpoint
	wanted   map[string]peer.ID // by label

	mu      sync.Mutex
	dials   map[candidate]*dial // guarded by mu; those that run
	turns   map[netip.Addr]int  // guarded by mu; how often each address was dialed
	found   *Conn               // guarded by mu
	ended   context.Context     // ends when a camera was found, or the caller wants none any more
	end     context.CancelFunc
	dialing sync.WaitGroup
}

// candidate is somebody who announces a key that is wanted.
type candidate struct {
	at netip.AddrPort
	id peer.ID
}

func (s *search) run(ctx context.Context) (*Conn, error) {
	s.ended, s.end = context.WithCancel(ctx)
	defer s.end()
	changes := netwatch.Changes(s.ended)
	for s.ended.Err() == nil {
		m, err := openMulticast(s.ended)
		if err == nil {
			err = s.ask(m, changes)
		}
		if err != nil {
			wait(s.ended, changes, lookAgainAlone)
		}
	}

	s.dialing.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == nil {
		return nil, context.Cause(ctx)
	}
	return s.found, nil
}

// ask asks on some links until they change or the search ends. It returns an error if something stopped working.
func (s *search) ask(m *multicast, changes <-chan struct{}) error {
	defer m.close()
	m.receive(s.heard)
	message, err := question()
	if err != nil {
		return err
	}

	for pause := firstAsk; s.ended.Err() == nil; pause = min(2*pause, lastAsk) {
		for _, l := range m.links {
			_ = m.sendAll(l, message) // it may work on others, or next time
		}
		if wait(m.works, changes, pause) {
			return nil
		}
		if m.works.Err() != nil && s.ended.Err() == nil {
			return errBroken
		}
	}
	return nil
}

// dial is one attempt to reach a candidate.
type dial struct {
	began  time.Time
	cancel context.CancelFunc
}

// heard dials whoever announces a wanted key, unless too many are dialed already. Those are heard again at the next
// question.
func (s *search) heard(got received) {
	for label, port := range announced(got.message) {
		id, ok := s.wanted[label]
		if ok {
			s.try(candidate{netip.AddrPortFrom(got.from, port), id})
		}
	}
}

func (s *search) try(c candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := 0
	for other := range s.dials {
		if other.at.Addr() == c.at.Addr() {
			same++
		}
	}
	if s.ended.Err() != nil || s.dials[c] != nil || same >= maxDialsPerAddress || !s.makeRoom(c) {
		return
	}

	if len(s.turns) >= maxTurns {
		clear(s.turns)
	}
	s.turns[c.at.Addr()]++
	ctx, cancel := context.WithTimeout(s.ended, dialPatience)
	d := &dial{time.Now(), cancel}
	s.dials[c] = d
	s.dialing.Go(func() { s.dial(ctx, c, d) })
}

// makeRoom reports whether one more dial may run. If there are enough, it ends the oldest of those whose addresses have
// had most turns, unless the newcomer's has had more, or as many and that dial has just begun: a stranger who announces
// the camera's key from many addresses must not keep the camera from having its turn. mu must be held.
func (s *search) makeRoom(newcomer candidate) bool {
	if len(s.dials) < maxDials {
		return true
	}

	var victim candidate
	var last *dial
	for c, d := range s.dials {
		more := s.turns[c.at.Addr()] - s.turns[victim.at.Addr()]
		if last == nil || more > 0 || more == 0 && d.began.Before(last.began) {
			victim, last = c, d
		}
	}

	more := s.turns[victim.at.Addr()] - s.turns[newcomer.at.Addr()]
	if more < 0 || more == 0 && time.Since(last.began) < dialTurn {
		return false
	}
	last.cancel()
	delete(s.dials, victim)
	return true
}

// dial opens a connection to a candidate. The first one that works ends the search.
func (s *search) dial(ctx context.Context, c candidate, d *dial) {
	defer d.cancel()
	conn, err := s.endpoint.dialLAN(ctx, c.at, c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dials[c] == d {
		delete(s.dials, c)
	}
	switch {
	case err != nil:
	case s.found == nil && s.ended.Err() == nil:
		s.found = conn
		conn.free = func() { _ = s.endpoint.close() }
		s.end()
	default:
		_ = conn.conn.Close()
	}
}

// dialLAN opens a connection to a camera at an address, and its stream.
func (e *endpoint) dialLAN(ctx context.Context, at netip.AddrPort, id peer.ID) (*Conn, error) {
	c, err := e.dial(ctx, at, id)
	if err != nil {
		return nil, err
	}
	stream, err := openStream(ctx, c, signalingProtocol)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Conn{
		stream:  stream,
		conn:    c,
		remote:  addressOf(c.RemoteMultiaddr()),
		carrier: CarrierLAN,
		camera:  id,
		caller:  e.id,
		ended:   make(chan struct{}),
	}, nil
}
