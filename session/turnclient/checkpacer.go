package turnclient

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/transport/v5"
)

const (
	// checkInterval is the shortest time between two checks of a candidate pair (RFC 8445, section 14.2).
	checkInterval = 50 * time.Millisecond
	// eagerChecks is how many checks of a pair leave at the agent's pace. pion checks every pair for as long as the
	// session lasts. A pair that has not answered that many is checked only every slowInterval.
	eagerChecks  = 8
	slowInterval = time.Second
	// maxSources bounds the remote addresses whose checks a session answers. ICE makes a peer reflexive candidate of
	// every address that it does not know, and pairs it with all candidates of its own.
	maxSources = 64
)

// checkSources holds the remote addresses whose checks one session has answered.
type checkSources struct {
	mu    sync.Mutex
	known map[netip.AddrPort]struct{} // guarded by mu
}

func newCheckSources() *checkSources { return &checkSources{known: make(map[netip.AddrPort]struct{})} }

// answer notes an address whose check ICE answers. ICE has authenticated the check, so nobody else can use up the
// limit.
func (s *checkSources) answer(to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) < maxSources {
		s.known[to] = struct{}{}
	}
}

// admits reports whether a check from an address may reach ICE.
func (s *checkSources) admits(from netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.known[from]
	return ok || len(s.known) < maxSources
}

// checkPacer decides which checks leave one socket. Whenever a candidate of either end arrives, pion sends a check for
// every pair at once. With many candidates, that makes thousands within a moment, and among them the network drops
// other packets that the start needs. To pion, a check that is held back is a lost one, and it tries again.
type checkPacer struct {
	mu    sync.Mutex
	pairs map[netip.AddrPort]*checkedPair // guarded by mu
}

// checkedPair is the pair made of the socket and one remote address.
type checkedPair struct {
	sent   time.Time
	times  int
	heard  bool // something has arrived since the last check
	answer bool // something has ever arrived
}

func newCheckPacer() *checkPacer { return &checkPacer{pairs: make(map[netip.AddrPort]*checkedPair)} }

// due reports whether a check may leave now, and counts it if so. A check that was triggered by a check of the other
// end must not wait (RFC 8445, section 7.3.1.4).
func (p *checkPacer) due(to netip.AddrPort, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair := p.pairs[to]
	if pair == nil {
		pair = &checkedPair{}
		p.pairs[to] = pair
	}

	wait := checkInterval
	if !pair.answer && pair.times >= eagerChecks {
		wait = slowInterval
	}
	if !pair.heard && pair.times > 0 && now.Sub(pair.sent) < wait {
		return false
	}

	pair.sent, pair.heard = now, false
	pair.times++
	return true
}

// hear notes a STUN message from an address that this socket has checked.
func (p *checkPacer) hear(from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pair := p.pairs[from]; pair != nil {
		pair.heard, pair.answer = true, true
	}
}

// pacedConn is the socket of a host candidate.
type pacedConn struct {
	transport.UDPConn
	pacer   *checkPacer
	sources *checkSources // shared by the session's sockets
}

func (c pacedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.UDPConn.ReadFrom(b)
		at, ok := from.(*net.UDPAddr)
		if err != nil || !ok || !isBinding(b[:n]) {
			return n, from, err
		}
		if typeOf(b) == stun.BindingRequest.Value() && !c.sources.admits(plainOf(at)) {
			continue
		}

		c.pacer.hear(plainOf(at))
		return n, from, nil
	}
}

func (c pacedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	at, ok := to.(*net.UDPAddr)
	if !ok || !isBinding(b) {
		return c.UDPConn.WriteTo(b, to)
	}
	switch typeOf(b) {
	case stun.BindingSuccess.Value():
		c.sources.answer(plainOf(at))
	case stun.BindingRequest.Value():
		if !nominates(b) && !c.pacer.due(plainOf(at), time.Now()) {
			return len(b), nil
		}
	}

	return c.UDPConn.WriteTo(b, to)
}

// isBinding reports whether a packet is a STUN message of the Binding method, of any class. It is quick, because most
// packets are media.
func isBinding(b []byte) bool {
	return len(b) >= 20 && b[0] <= 1 && b[1]&0xef == 1 && stun.IsMessage(b)
}

// typeOf returns the type of a STUN message.
func typeOf(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// nominates reports whether a check has USE-CANDIDATE. If so, the pair has answered before, and the session waits for
// the check.
func nominates(b []byte) bool {
	m := stun.Message{Raw: b}
	return m.Decode() == nil && m.Contains(stun.AttrUseCandidate)
}
