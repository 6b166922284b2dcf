package p2p

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

const (
	maxUnproven   = 8
	maxPerAddress = 2 // unproven ones; a circuit relay may bring as many as there may be
	maxProven     = 24

	// proofLife is how long a connection may take from its first packet to its proof.
	proofLife = 10 * time.Second

	// handshakes bounds the handshakes that are begun, weighed over handshakeWindow. One IPv4 address, one IPv6
	// /64 or one relay gets ten if others want none.
	handshakes, handshakeWindow = 64, 2 * time.Second

	// pressure is how many unproven connections there are when strangers must prove their addresses.
	pressure = maxUnproven / 2
)

// Reasons to refuse a connection.
var (
	errAddressShare = errors.New("this address has its share of unproven connections")
	errProvenFull   = errors.New("there are as many proven connections as there may be")
	errNotOpen      = errors.New("the listener is closed")
)

// admission decides who may have a connection.
type admission struct {
	rate *netlimit.Rate

	mu       sync.Mutex
	unproven []*slot            // guarded by mu; the oldest first
	proven   map[*slot]struct{} // guarded by mu
	closed   bool               // guarded by mu
}

// slot is the place of one connection, from its first packet on.
type slot struct {
	admission *admission
	from      netip.Addr   // the zero Addr for a circuit
	network   netip.Prefix // by which it is weighed
	relay     string       // the circuit relay that brought it; "" on the LAN
	deadline  *time.Timer

	dropped context.Context // ends when the connection must end
	drop    context.CancelFunc

	released bool // guarded by admission.mu
}

func newAdmission() *admission {
	share := netlimit.Share{Free: 0.25} // on a LAN, one IPv6 /64 is everybody
	rate := netlimit.Config{
		Size:    handshakes,
		IPv4:    share,
		Host:    share,
		Site:    share,
		Network: share,
		Named:   share,
	}
	return &admission{
		rate:   netlimit.NewRate(rate, handshakeWindow),
		proven: make(map[*slot]struct{}),
	}
}

// admitAddress admits a connection from an address on the LAN, or returns why it may not be had.
func (a *admission) admitAddress(from netip.Addr) (*slot, error) {
	from = from.Unmap()
	return a.admit(netlimit.PayerOf(from), &slot{from: from, network: netlimit.Fold(from)}, maxPerAddress)
}

// admitCircuit admits a connection that a relay brings.
func (a *admission) admitCircuit(relay string) (*slot, error) {
	name := sha256.Sum256([]byte(relay))
	return a.admit(netlimit.Named([16]byte(name[:16])), &slot{relay: relay}, maxUnproven)
}

func (a *admission) admit(payer netlimit.Payer, s *slot, most int) (*slot, error) {
	if err := a.rate.Charge(payer, 1, time.Now()); err != nil {
		return nil, err
	}
	return a.place(s, most)
}

// place gives a connection a place, of which those who are counted as the same may have some.
func (a *admission) place(s *slot, most int) (*slot, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errNotOpen
	}
	if len(a.proven) >= maxProven {
		return nil, errProvenFull
	}
	if a.count(func(o *slot) bool { return o.from == s.from && o.relay == s.relay }) >= most {
		return nil, errAddressShare
	}
	if len(a.unproven) >= maxUnproven {
		a.dropOldest(s)
	}

	s.admission = a
	s.dropped, s.drop = context.WithCancel(context.Background())
	s.deadline = time.AfterFunc(proofLife, s.drop)
	a.unproven = append(a.unproven, s)
	return s, nil
}

// count returns how many unproven ones there are of a kind. mu must be held.
func (a *admission) count(of func(*slot) bool) (n int) {
	for _, s := range a.unproven {
		if of(s) {
			n++
		}
	}
	return n
}

// dropOldest makes room for a newcomer: it drops the oldest connection of the network, or the relay, that would have
// most with the newcomer. So nobody who has less loses a place to somebody who has more. mu must be held.
func (a *admission) dropOldest(newcomer *slot) {
	var victim *slot
	var most int
	for _, s := range a.unproven {
		n := a.count(s.together)
		if newcomer.together(s) {
			n++
		}
		if n > most {
			victim, most = s, n
		}
	}

	a.remove(victim)
	victim.drop()
}

// together reports whether two connections are weighed together.
func (s *slot) together(o *slot) bool { return s.network == o.network && s.relay == o.relay }

// remove takes a slot from the unproven ones. mu must be held.
func (a *admission) remove(s *slot) {
	for i, o := range a.unproven {
		if o == s {
			a.unproven = append(a.unproven[:i], a.unproven[i+1:]...)
			return
		}
	}
}

// pressed reports whether so many connections are unproven that strangers must prove their addresses.
func (a *admission) pressed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.unproven) >= pressure
}

// prove keeps the connection from being dropped. If there are too many proven ones, it ends.
func (s *slot) prove() {
	a := s.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, already := a.proven[s]; already || s.released || s.dropped.Err() != nil {
		return
	}
	if len(a.proven) >= maxProven {
		s.drop()
		return
	}

	s.deadline.Stop()
	a.remove(s)
	a.proven[s] = struct{}{}
}

// release gives the place back. Further calls do nothing.
func (s *slot) release() {
	a := s.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.released {
		return
	}

	s.released = true
	s.deadline.Stop()
	s.drop()
	a.remove(s)
	delete(a.proven, s)
}

// close ends all connections and admits no more.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, s := range a.unproven {
		s.drop()
	}
	for s := range a.proven {
		s.drop()
	}
}
